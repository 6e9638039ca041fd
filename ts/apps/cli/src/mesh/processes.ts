import { readdir, readFile } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { MARK } from "../made/supervisor.js";

/** What /proc tells of a process. */
export interface ProcessFacts {
  readonly residentMiB: number;
  readonly upSeconds: number;
}

/** Clock ticks in a second: USER_HZ, 100 on every Linux that Node runs on (proc(5)). */
const TICKS_PER_SECOND = 100;

/** Memory and age of a process, or undefined when it is gone. */
export async function factsOf(pid: number): Promise<ProcessFacts | undefined> {
  try {
    const [status, stat, uptime] = await Promise.all(
      ["status", "stat"]
        .map((file) => readFile(`/proc/${pid}/${file}`, "utf8"))
        .concat(readFile("/proc/uptime", "utf8")),
    );
    const resident = /^VmRSS:\s+(\d+) kB/m.exec(status ?? "")?.[1];
    // Field 22, the start in ticks since boot; the command in field 2 may hold spaces and brackets.
    const started = (stat ?? "").slice((stat ?? "").lastIndexOf(")") + 2).split(" ")[19];
    return {
      residentMiB: Number(resident ?? 0) / 1024,
      upSeconds: Number.parseFloat(uptime ?? "0") - Number(started) / TICKS_PER_SECOND,
    };
  } catch {
    return undefined;
  }
}

/** Ids of the processes of the mesh in `home`, whoever their parent is now. */
export async function processesOf(home: string): Promise<number[]> {
  const found: number[] = [];
  for (const name of (await readdir("/proc")).filter((entry) => /^\d+$/.test(entry))) {
    const environment = await readFile(`/proc/${name}/environ`, "utf8").catch(() => "");
    if (environment.split("\0").includes(`${MARK}=${home}`)) found.push(Number(name));
  }
  return found;
}

/** Whether a process exists and is not a zombie. */
export async function isAlive(pid: number): Promise<boolean> {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => "");
  return stat !== "" && stat.slice(stat.lastIndexOf(")") + 2, stat.lastIndexOf(")") + 3) !== "Z";
}

/** Ends processes by id: SIGTERM, and SIGKILL for those that are there after `graceMs`. Returns those that are left even then. */
export async function endProcesses(pids: readonly number[], graceMs: number): Promise<number[]> {
  let left = [...pids];
  for (const [signal, waitMs] of [
    ["SIGTERM", graceMs],
    ["SIGKILL", 5000],
  ] as const) {
    for (const pid of left) {
      try {
        process.kill(pid, signal);
      } catch (cause) {
        if ((cause as NodeJS.ErrnoException).code !== "ESRCH") throw cause;
      }
    }
    left = await remaining(left, waitMs);
    if (left.length === 0) return [];
  }
  return left;
}

async function remaining(pids: readonly number[], waitMs: number): Promise<number[]> {
  const deadline = performance.now() + waitMs;
  for (;;) {
    const alive = await Promise.all(pids.map(isAlive));
    const left = pids.filter((_, i) => alive[i]);
    if (left.length === 0 || performance.now() > deadline) return left;
    await delay(50);
  }
}
