import { execFile } from "node:child_process";
import { copyFileSync, mkdirSync, statSync } from "node:fs";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { ROOT } from "../context.js";

const execute = promisify(execFile);

/** Copies what git knows of this checkout, as it stands, to a folder of its own, and returns the folder. The caller removes it. */
export async function copyOfCheckout(): Promise<string> {
  const root = await mkdtemp(join(tmpdir(), "uait-checkout-"));
  const { stdout } = await execute("git", ["ls-files", "-z", "--cached", "--others", "--exclude-standard"], {
    cwd: ROOT,
    maxBuffer: 64 * 1024 * 1024,
  });
  // More than a thousand small files: each promise costs as much as the copy.
  for (const path of stdout.split("\0")) {
    if (path === "" || !statSync(join(ROOT, path), { throwIfNoEntry: false })?.isFile()) continue;
    mkdirSync(dirname(join(root, path)), { recursive: true });
    copyFileSync(join(ROOT, path), join(root, path));
  }
  return root;
}
