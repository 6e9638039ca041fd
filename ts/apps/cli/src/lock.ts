import { mkdir, open, readFile, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { isAlive } from "./mesh/processes.js";

/** Pause between two looks at a lock that another process holds, ms. */
const LOOK_MS = 200;

/**
 * Does `work` while no other process of this machine does such work on the same file: two meshes of one checkout share its
 * tools, stubs and builds. A lock whose holder is gone is taken over.
 */
export async function withLock<T>(
  file: string,
  options: { signal: AbortSignal; note: (text: string) => void },
  work: () => Promise<T>,
): Promise<T> {
  await mkdir(dirname(file), { recursive: true });
  while (!(await take(file))) {
    const holder = Number(await readFile(file, "utf8").catch(() => ""));
    if (holder > 0 && !(await isAlive(holder))) await rm(file, { force: true });
    else {
      options.note(`waiting for process ${holder}, which holds ${file}`);
      await delay(LOOK_MS, undefined, { signal: options.signal });
    }
  }
  try {
    return await work();
  } finally {
    await rm(file, { force: true });
  }
}

async function take(file: string): Promise<boolean> {
  try {
    const handle = await open(file, "wx", 0o600);
    await handle.writeFile(String(process.pid));
    await handle.close();
    return true;
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw cause;
  }
}
