import { execFile } from "node:child_process";
import { cp, mkdir, mkdtemp, readFile, rename, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ROOT } from "../context.js";

const execute = promisify(execFile);
const OLD = new Date("2020-01-01T00:00:00Z");

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "uait-cargo-"));
});

afterEach(() => rm(folder, { recursive: true }));

/** A checkout whose program says its own name by way of a library that all have alike; its files are old. */
async function checkout(name: string): Promise<string> {
  const root = join(folder, name);
  await mkdir(join(root, "rust", "src"), { recursive: true });
  await mkdir(join(root, "rust", "library", "src"), { recursive: true });
  await mkdir(join(root, "proto"));
  await mkdir(join(root, "deploy", "local"), { recursive: true });
  await cp(join(ROOT, "deploy/local/cargo"), join(root, "deploy/local/cargo"));
  const files = {
    "rust/Cargo.toml":
      '[package]\nname = "named"\nversion = "0.1.0"\nedition = "2024"\n[dependencies]\nlibrary = { path = "library" }\n[workspace]\n',
    "rust/Cargo.lock":
      'version = 4\n[[package]]\nname = "library"\nversion = "0.1.0"\n[[package]]\nname = "named"\nversion = "0.1.0"\ndependencies = ["library"]\n',
    "rust/src/main.rs": `fn main() { library::say("${name}"); }\n`,
    "rust/library/Cargo.toml": '[package]\nname = "library"\nversion = "0.1.0"\nedition = "2024"\n',
    "rust/library/src/lib.rs": 'pub fn say(name: &str) { println!("{name}"); }\n',
  };
  for (const [path, text] of Object.entries(files)) {
    await writeFile(join(root, path), text);
    await utimes(join(root, path), OLD, OLD);
  }
  return root;
}

/** Runs the checkout's program: what it said, and the crates that were compiled for it. */
async function run(root: string): Promise<{ said: string; compiled: string[] }> {
  const { stdout, stderr } = await execute(join(root, "deploy/local/cargo"), ["run", "--offline"], {
    cwd: join(root, "rust"),
    env: { ...process.env, UAIT_CACHE: join(folder, "cache") },
  });
  return { said: stdout.trim(), compiled: [...stderr.matchAll(/Compiling (\S+)/g)].map(([, crate = ""]) => crate) };
}

describe("cargo", () => {
  it("twoCheckoutsOverOneCache_eachRunsItsOwnProgram", { timeout: 120_000 }, async () => {
    const roots = [await checkout("first"), await checkout("second")];
    const said: string[] = [];
    for (const root of [...roots, ...roots]) said.push((await run(root)).said);
    expect(said).toEqual(["first", "second", "first", "second"]);
  });

  it("checkoutLikeTheLastOne_compilesNothing", { timeout: 120_000 }, async () => {
    const first = await checkout("first");
    const { compiled } = await run(first);
    expect(compiled).toEqual(["library", "named"]);
    await rename(first, join(folder, "elsewhere"));
    expect(await run(await checkout("first"))).toEqual({ said: "first", compiled: [] });
    expect(await run(await checkout("second"))).toEqual({ said: "second", compiled: ["named"] });
  });

  it("fileEditedAndOfAnotherCheckout_isNotTakenForBuilt", { timeout: 120_000 }, async () => {
    const [first, second] = [await checkout("first"), await checkout("second")];
    const main = join(first, "rust", "src", "main.rs");
    await run(first);
    await writeFile(main, (await readFile(main, "utf8")).replace("first", "edited"));
    expect((await run(first)).said).toBe("edited");
    expect((await run(second)).said).toBe("second");
    expect((await run(first)).said).toBe("edited");
    await writeFile(main, (await readFile(main, "utf8")).replace("edited", "second"));
    await utimes(main, OLD, OLD);
    expect((await run(first)).said).toBe("second");
  });
});

describe("rust sources", () => {
  it("keepNoPathOfTheirCheckout", async () => {
    const { stdout } = await execute("git", ["ls-files", "rust/**.rs"], { cwd: ROOT });
    const paths = stdout.trim().split("\n");
    expect(paths.length).toBeGreaterThan(100);
    for (const path of paths) {
      const text = await readFile(join(ROOT, path), "utf8");
      expect(text, `${path}: what is compiled may run in another checkout`).not.toMatch(/env!\("CARGO_MANIFEST_DIR"\)/);
      const included = [...text.matchAll(/include(?:_str|_bytes)?!\("([^"]+)"\)/g)];
      const crate = path
        .split("/")
        .slice(0, path.startsWith("rust/services/") ? 3 : 2)
        .join("/");
      for (const [, file = ""] of included)
        expect(join(path, "..", file), `${path}: cargo knows files outside of the crate by their full path`).toMatch(
          new RegExp(`^${crate}/`),
        );
    }
  });
});
