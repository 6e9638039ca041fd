import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { copyFile, mkdir, open, readdir, readFile, rename, rm, stat, statfs } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { Failure } from "./failure.js";
import { diskFull } from "./process.js";

/**
 * Writes a file whole or not at all: to a name beside it first, then renamed.
 *
 * @throws Failure `DISK_FULL` when there is no room; nothing is left behind
 */
export async function writeWhole(path: string, content: string | Uint8Array, mode = 0o644): Promise<void> {
  await place(path, async (partial) => {
    const file = await open(partial, "w", mode);
    try {
      await file.writeFile(content);
      await file.sync();
    } finally {
      await file.close();
    }
  });
}

/** Copies a file whole or not at all; see writeWhole. */
export async function copyWhole(from: string, to: string): Promise<void> {
  await place(to, (partial) => copyFile(from, partial));
}

/** Has `make` fill a file beside `path`, then renames it there; what it leaves is removed when it fails. */
export async function place(path: string, make: (partial: string) => Promise<unknown>): Promise<void> {
  const partial = `${path}.${process.pid}.partial`;
  try {
    await mkdir(dirname(path), { recursive: true });
    await make(partial);
    await rename(partial, path);
  } catch (cause) {
    await rm(partial, { force: true, recursive: true });
    if ((cause as NodeJS.ErrnoException).code === "ENOSPC") throw diskFull((cause as Error).message, dirname(path));
    throw cause;
  }
}

/** SHA-256 of a file, in lower-case hex. */
export async function sha256(path: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  return hash.digest("hex");
}

/** One digest over every file under the given files and folders: their paths from `base` and contents, in a fixed order. */
export async function digest(paths: readonly string[], base: string): Promise<string> {
  const hash = createHash("sha256");
  for (const path of paths) {
    for (const file of await filesUnder(path))
      hash
        .update(relative(base, file))
        .update("\0")
        .update(await readFile(file))
        .update("\0");
  }
  return hash.digest("hex");
}

/** Files that running or building leaves beside the sources: they say nothing about what is run. */
const BY_PRODUCT = /\/__pycache__\/|\.tsbuildinfo$/;

async function filesUnder(path: string): Promise<string[]> {
  if (!(await stat(path)).isDirectory()) return [path];
  const entries = await readdir(path, { withFileTypes: true, recursive: true });
  return entries
    .filter((entry) => entry.isFile() && !BY_PRODUCT.test(join(entry.parentPath, entry.name)))
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
}

/** Whether a file exists. */
export async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

/**
 * Refuses to begin where there is no room to end.
 *
 * @param mebibytes what the work needs, MiB
 * @throws Failure `DISK_FULL`
 */
export async function requireSpace(folder: string, mebibytes: number): Promise<void> {
  let there = folder;
  while (!(await exists(there))) there = dirname(there);
  const { bavail, bsize } = await statfs(there);
  const free = Math.floor((bavail * bsize) / 1024 / 1024);
  if (free < mebibytes) throw diskFull(`${free} MiB are free, ${mebibytes} MiB are needed`, folder);
}

/** The text of a file, or undefined when there is none. */
export async function textOf(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw cause;
  }
}

/**
 * Compares a file with its listed SHA-256.
 *
 * @throws Failure `CHECKSUM_MISMATCH` that names the tool
 */
export async function verifyChecksum(options: {
  path: string;
  tool: string;
  expected: string;
  list: string;
}): Promise<void> {
  const found = await sha256(options.path);
  if (found === options.expected) return;
  throw new Failure({
    reason: "CHECKSUM_MISMATCH",
    message: `${options.tool}: ${options.path} has sha256 ${found}, but ${options.list} lists ${options.expected}`,
    remedy: `do not run it: empty the package cache (uv cache clean) and try again; if it persists, the registry serves something else than was pinned`,
  });
}
