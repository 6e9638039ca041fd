import { execFile } from "node:child_process";
import { copyFile, mkdir, mkdtemp, stat } from "node:fs/promises";
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
  for (const path of stdout.split("\0")) {
    if (path === "" || !(await isFile(join(ROOT, path)))) continue;
    await mkdir(dirname(join(root, path)), { recursive: true });
    await copyFile(join(ROOT, path), join(root, path));
  }
  return root;
}

async function isFile(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isFile(),
    () => false,
  );
}
