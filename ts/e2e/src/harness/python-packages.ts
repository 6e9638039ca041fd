import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { access, mkdir, mkdtemp, readFile, rename, rm } from "node:fs/promises";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

import { program } from "./repository.js";

const run = promisify(execFile);
const INSTALL_TIMEOUT_MS = 300_000;

/**
 * Installs pinned packages of PyPI into a cache that the pins' hash names, beside the contracts' clients
 * (python/tests/contracts), and returns their folder, for PYTHONPATH.
 *
 * @param pins a requirements file with hashes
 */
export async function pythonPackages(pins: string): Promise<string> {
  const digest = createHash("sha256")
    .update(await readFile(pins))
    .digest("hex")
    .slice(0, 16);
  const cache = join(process.env["XDG_CACHE_HOME"] || join(homedir(), ".cache"), "uait/contract-clients");
  const folder = join(cache, digest);
  if (await exists(folder)) return folder;
  await mkdir(cache, { recursive: true });
  const scratch = await mkdtemp(join(tmpdir(), "uait-packages-"));
  // Beside the target first, since a rename within one file system is atomic: two test runs may do this at once.
  const staged = `${folder}.${process.pid}`;
  try {
    // The mesh's environment has no pip of its own.
    await run(program("venv", "python"), ["-m", "venv", join(scratch, "venv")]);
    const install = ["install", "--quiet", "--disable-pip-version-check", "--no-deps", "--require-hashes"];
    const pip = [join(scratch, "venv/bin/python"), ["-m", "pip", ...install, "--target", staged, "-r", pins]] as const;
    await run(pip[0], pip[1], { timeout: INSTALL_TIMEOUT_MS });
    await rename(staged, folder).catch(async (error) => {
      if (!(await exists(folder))) throw error;
    });
  } finally {
    await rm(scratch, { recursive: true, force: true });
    await rm(staged, { recursive: true, force: true });
  }
  return folder;
}

async function exists(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    () => false,
  );
}
