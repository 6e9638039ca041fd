import { join } from "node:path";
import type { Context } from "../context.js";
import { textOf, writeWhole } from "../files.js";
import { madeFiles } from "../made/files.js";

/** Writes every file that is made from the catalogue, and says which have changed. */
export async function made(context: Context): Promise<void> {
  const { root } = context.mesh.paths;
  let changed = 0;
  for (const [path, text] of await madeFiles(context)) {
    if ((await textOf(join(root, path))) === text) continue;
    await writeWhole(join(root, path), text);
    context.progress.say(`made ${path}`);
    changed++;
  }
  if (changed === 0) context.progress.say("every made file is current");
}
