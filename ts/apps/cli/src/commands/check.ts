import { join } from "node:path";
import type { Context } from "../context.js";
import { Failure } from "../failure.js";
import { textOf } from "../files.js";
import { madeFiles } from "../made/files.js";
import { versionDrift } from "../tools/versions.js";

/**
 * Compares the committed files with what the catalogue makes, and the catalogue's versions with what is pinned.
 *
 * @throws Failure `DRIFT` that names the files
 */
export async function check(context: Context): Promise<void> {
  const { root } = context.mesh.paths;
  const drifted: string[] = [];
  const files = await madeFiles(context);
  for (const [path, text] of files) {
    const found = await textOf(join(root, path));
    if (found !== text)
      drifted.push(found === undefined ? `${path} is missing` : `${path} is not what deploy/mesh.yaml makes`);
  }
  drifted.push(...(await versionDrift(context)));
  if (drifted.length > 0)
    throw new Failure({ reason: "DRIFT", message: drifted.join("\n"), remedy: "make made, and commit what it wrote" });
  context.progress.say(`${files.size} made files are what deploy/mesh.yaml makes`);
}
