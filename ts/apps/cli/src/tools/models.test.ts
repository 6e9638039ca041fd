import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { parse } from "yaml";
import { type Context, openContext, ROOT } from "../context.js";
import { sha256 } from "../files.js";
import { pathsOf } from "../layout.js";
import { installModels, MODELS } from "./models.js";

/** A file of a small package of the index. */
const SMALL = { package: "six", version: "1.17.0", member: "six.py" };

let root: string;
let context: Context;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "uait-models-"));
  await mkdir(join(root, "deploy/local"), { recursive: true });
  await writeFile(join(root, "deploy/local/uv.txt"), await readFile(join(ROOT, "deploy/local/uv.txt")));
  const opened = await openContext(new AbortController().signal, {});
  context = { ...opened, mesh: { ...opened.mesh, paths: pathsOf(root, join(root, ".uait")) } };
});

afterEach(() => rm(root, { recursive: true, force: true }));

async function install(sum: string): Promise<string[]> {
  const file = { ...SMALL, file: "small/model.gguf", sha256: sum };
  const library = { ...SMALL, file: "library.so", sha256: { "plan9-mips": sum } };
  const list = { models: [{ name: "small", kind: "generation", model: file }], onnxruntime: library };
  await writeFile(join(root, MODELS), JSON.stringify(list));
  const notes: string[] = [];
  await installModels(context, (text) => notes.push(text));
  return notes;
}

const installed = (path: string): string => join(root, ".uait/models", path);

/** The sum of that file, taken from an installation for a platform of which none is listed. */
async function sumOfSmall(): Promise<string> {
  const library = { ...SMALL, file: "library.so", sha256: {} };
  await writeFile(join(root, MODELS), JSON.stringify({ models: [], onnxruntime: library }));
  await installModels(context, () => undefined);
  return sha256(installed("library.so"));
}

describe("installModels", () => {
  it("fetchesWhatIsMissing_andListsItForTheService", async () => {
    const sum = await sumOfSmall();
    expect(await install(sum)).toEqual(["small/model.gguf out of six 1.17.0"]);
    expect(await sha256(installed("small/model.gguf"))).toBe(sum);
    expect(parse(await readFile(installed("models.yaml"), "utf8"))).toEqual({
      models: [{ name: "small", kind: "generation", model: { file: "small/model.gguf", sha256: sum } }],
      onnxruntime: { file: "library.so" },
    });
    expect(await install(sum)).toEqual([]);
  });

  it("replacesAFileThatWasChanged", async () => {
    const sum = await sumOfSmall();
    await install(sum);
    await writeFile(installed("small/model.gguf"), "rot");
    await install(sum);
    expect(await sha256(installed("small/model.gguf"))).toBe(sum);
  });

  it("wrongSum_isNamedAndLeavesNothing", async () => {
    const wrong = "0".repeat(64);
    await expect(install(wrong)).rejects.toMatchObject({
      reason: "CHECKSUM_MISMATCH",
      message: expect.stringMatching(
        /six==1\.17\.0 \(small\/model\.gguf\): .* but deploy\/local\/models\.yaml lists 0{64}/,
      ),
      remedy: expect.stringContaining("uv cache clean"),
    });
    expect(await readdir(join(root, ".uait"), { recursive: true }).catch(() => [])).toEqual([]);
  });

  it("memberThatThePackageLacks_isNamed", async () => {
    const library = { ...SMALL, member: "seven.py", file: "library.so", sha256: {} };
    await writeFile(join(root, MODELS), JSON.stringify({ models: [], onnxruntime: library }));
    await expect(installModels(context, () => undefined)).rejects.toMatchObject({
      reason: "INSTALL_FAILED",
      message: "six==1.17.0 has no seven.py",
    });
  });
});
