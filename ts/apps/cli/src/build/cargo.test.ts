import { execFile } from "node:child_process";
import { cp, mkdir, mkdtemp, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterEach, beforeEach, expect, it } from "vitest";
import { ROOT } from "../context.js";

const execute = promisify(execFile);
const OLD = new Date("2020-01-01T00:00:00Z");

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "uait-cargo-"));
});

afterEach(() => rm(folder, { recursive: true }));

/** A checkout whose program says its own name; its files are old. */
async function checkout(name: string): Promise<string> {
  const root = join(folder, name);
  await mkdir(join(root, "rust", "src"), { recursive: true });
  await mkdir(join(root, "proto"));
  await mkdir(join(root, "deploy", "local"), { recursive: true });
  await cp(join(ROOT, "deploy/local/cargo"), join(root, "deploy/local/cargo"));
  const files = {
    "rust/Cargo.toml": '[package]\nname = "named"\nversion = "0.1.0"\nedition = "2024"\n[workspace]\n',
    "rust/Cargo.lock": 'version = 4\n[[package]]\nname = "named"\nversion = "0.1.0"\n',
    "rust/src/main.rs": `fn main() { println!("${name}"); }\n`,
  };
  for (const [path, text] of Object.entries(files)) {
    await writeFile(join(root, path), text);
    await utimes(join(root, path), OLD, OLD);
  }
  return root;
}

it("cargo_twoCheckoutsOverOneCache_eachRunsItsOwnProgram", { timeout: 120_000 }, async () => {
  const roots = [await checkout("first"), await checkout("second")];
  const said: string[] = [];
  for (const root of [...roots, ...roots]) {
    const { stdout } = await execute(join(root, "deploy/local/cargo"), ["run", "--quiet", "--offline"], {
      cwd: join(root, "rust"),
      env: { ...process.env, UAIT_CACHE: join(folder, "cache") },
    });
    said.push(stdout.trim());
  }
  expect(said).toEqual(["first", "second", "first", "second"]);
});
