import { join } from "node:path";
import type { Context } from "../context.js";
import { digest, exists, textOf, writeWhole } from "../files.js";
import { descriptorPath } from "../made/programs.js";
import { run } from "../process.js";

/** What generation makes; Rust's stubs come from its own build script. */
const OUTPUTS = ["go/gen", "ts/gen/src", "ts/gen/es", "python/gen"];
const INPUTS = ["proto", "buf.yaml", "buf.gen.yaml", "go/go.mod", "ts/package-lock.json", "python/uv.lock"];

/** Path of buf, which npm carries. */
export function bufPath(root: string): string {
  return `${root}/ts/node_modules/.bin/buf`;
}

/** Generates the stubs, unless what they are made from is what it was the last time. */
export async function generate(context: Context): Promise<"made" | "current"> {
  const { root, install } = context.mesh.paths;
  const stamp = `${install}/generated.sha256`;
  const inputs = await digest(
    INPUTS.map((path) => join(root, path)),
    root,
  );
  const whole = await Promise.all(OUTPUTS.map((path) => exists(join(root, path, OUTPUT_PROOF[path] ?? ""))));
  if (whole.every(Boolean) && (await textOf(stamp)) === inputs) return "current";
  await run(bufPath(root), ["generate"], { cwd: root, signal: context.signal });
  await writeWhole(stamp, inputs);
  return "made";
}

/** A file that each output has when generation came to its end. */
const OUTPUT_PROOF: Readonly<Record<string, string>> = {
  "go/gen": "uait/echo/v1/echo_grpc.pb.go",
  "ts/gen/src": "uait/echo/v1/echo.ts",
  "ts/gen/es": "uait/echo/v1/echo_pb.ts",
  "python/gen": "uait/echo/v1/echo_pb2_grpc.py",
};

/** The whole contract as a FileDescriptorSet, imports and comments included, in the mesh's run folder. */
export async function buildDescriptors(context: Context): Promise<string> {
  const { root } = context.mesh.paths;
  const file = descriptorPath(context.mesh);
  await writeWhole(file, "");
  await run(bufPath(root), ["build", "--as-file-descriptor-set", "-o", file], { cwd: root, signal: context.signal });
  return file;
}
