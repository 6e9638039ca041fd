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

/** What `make build`, `make install` and the suite's own build steps put into the project's folder. */
const INSTALLED = {
  /** Our own programs. */
  build: [".uait", "build"],
  /** Tools built from Go modules. */
  bin: [".uait", "bin"],
  /** The Python environment's programs. */
  venv: [".uait", "venv", "bin"],
} as const;

/** Path of an installed program; fails with what to run when it is missing. */
export function program(kind: keyof typeof INSTALLED, name: string): string {
  const path = inRepository(...INSTALLED[kind], name);
  if (!existsSync(path)) throw new Error(`${path} is missing: run "make install build"`);
  return path;
}
