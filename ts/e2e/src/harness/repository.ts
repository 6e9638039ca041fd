import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** The root of the checkout: the nearest folder above that holds buf.yaml. */
export const repository = ((): string => {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, "buf.yaml"))) {
    const parent = dirname(folder);
    if (parent === folder) throw new Error("not inside a checkout: no buf.yaml above");
    folder = parent;
  }
  return folder;
})();

/** An absolute path of something in the checkout. */
export const inRepository = (...parts: string[]): string => join(repository, ...parts);

/** An executable that `make up` or `make build` puts into the project's own folder; fails with what to run when it is missing. */
export function tool(name: string): string {
  const path = inRepository(".uait", "bin", name);
  if (!existsSync(path)) throw new Error(`${path} is missing: run "make build"`);
  return path;
}
