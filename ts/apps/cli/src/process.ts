import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { Failure, type Reason } from "./failure.js";

/** How to run a program to its end. */
export interface RunOptions {
  readonly cwd: string;
  /** Added to this process's environment; undefined removes a variable. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Called with each line of either output. */
  readonly onLine?: (line: string) => void;
  readonly signal?: AbortSignal;
  /** Reason of the Failure when the program ends with anything but 0; default BUILD_FAILED. */
  readonly reason?: Reason;
  /** What to do when it fails. */
  readonly remedy?: string;
}

/** Lines of output kept for the message of a failure. */
const KEPT_LINES = 40;

/**
 * Runs a program and returns its standard output.
 *
 * @throws Failure with the last lines of output when it ends with anything but 0; `DISK_FULL` when those say so
 */
export async function run(command: string, args: readonly string[], options: RunOptions): Promise<string> {
  const stdout: string[] = [];
  const tail: string[] = [];
  const child = spawn(command, args, {
    cwd: options.cwd,
    env: { ...process.env, ...options.env },
    stdio: ["ignore", "pipe", "pipe"],
    ...(options.signal ? { signal: options.signal } : {}),
  });
  const keep = (line: string): void => {
    tail.push(line);
    if (tail.length > KEPT_LINES) tail.shift();
    options.onLine?.(line);
  };
  createInterface({ input: child.stdout }).on("line", (line) => {
    stdout.push(line);
    keep(line);
  });
  createInterface({ input: child.stderr }).on("line", keep);
  const status = await new Promise<number | string>((settle, reject) => {
    child.once("error", reject);
    child.once("close", (code, signal) => settle(code ?? signal ?? "unknown"));
  }).catch((cause: unknown) => {
    if ((cause as NodeJS.ErrnoException).code !== "ENOENT") throw cause;
    throw new Failure({
      reason: "TOOL_MISSING",
      message: `${command} is not on PATH`,
      remedy: "run make preflight",
      cause,
    });
  });
  if (status === 0) return stdout.join("\n");
  const output = tail.join("\n");
  if (/no space left on device|ENOSPC|os error 28/i.test(output)) throw diskFull(output, options.cwd);
  throw new Failure({
    reason: options.reason ?? "BUILD_FAILED",
    message: `${[command, ...args].join(" ")} (in ${options.cwd}) ended with ${status}:\n${output}`,
    remedy: options.remedy ?? "correct what it says, then run the same command again",
  });
}

/** The failure for a write that found no room. */
export function diskFull(detail: string, folder: string): Failure {
  return new Failure({
    reason: "DISK_FULL",
    message: `no space is left on the disk of ${folder}: ${detail}`,
    remedy: `free some space (du -sh ${folder} ~/.cache/uait), or move the mesh's folder with UAIT_HOME=<folder>`,
  });
}
