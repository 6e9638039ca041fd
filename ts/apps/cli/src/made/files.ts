import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { bufPath } from "../build/generate.js";
import type { Context } from "../context.js";
import { planOf, renderMade } from "../envoy/index.js";
import { layout, pathsOf } from "../layout.js";
import { run } from "../process.js";
import { composeFiles } from "./compose.js";
import { readmeWithTable } from "./readme.js";
import { supervisorConfig } from "./supervisor.js";

/** Every committed file that is made from the catalogue, by its path from the root of the repository. */
export async function madeFiles(context: Context): Promise<Map<string, string>> {
  const { catalogue } = context;
  const { root } = context.mesh.paths;
  const descriptors = await descriptorSet(context);
  const bootstrap = await readFile(join(root, "envoy/envoy.yaml"), "utf8");
  const files = new Map<string, string>();
  // supervisord fills the two names in, so that the file holds no machine's paths.
  const written = { ...layout(catalogue, {}, root), paths: pathsOf("%(ENV_UAIT_ROOT)s", "%(ENV_UAIT_HOME)s") };
  files.set("deploy/local/supervisord.conf", supervisorConfig(written));
  for (const [path, text] of composeFiles({ catalogue, bootstrap, descriptors }))
    files.set(`deploy/compose/${path}`, text);
  const mesh = { ...layout(catalogue, {}, root), paths: pathsOf(".", ".uait") };
  const plan = planOf(catalogue, mesh, { files: { folder: "envoy", descriptors: ".uait/run/descriptors.binpb" } });
  const envoy = renderMade(plan, descriptors);
  for (const [path, text] of envoy) files.set(`envoy/${path}`, text);
  files.set("README.md", readmeWithTable(await readFile(join(root, "README.md"), "utf8"), catalogue));
  return files;
}

async function descriptorSet(context: Context): Promise<Uint8Array> {
  const { root } = context.mesh.paths;
  const scratch = await mkdtemp(join(tmpdir(), "uait-descriptors-"));
  try {
    await run(bufPath(root), ["build", "--as-file-descriptor-set", "-o", join(scratch, "set.binpb")], {
      cwd: root,
      signal: context.signal,
    });
    return await readFile(join(scratch, "set.binpb"));
  } finally {
    await rm(scratch, { recursive: true });
  }
}
