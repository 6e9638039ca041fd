import { open } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import type { Context } from "../context.js";
import { Failure } from "../failure.js";
import { type HealthCheck, healthChecks, SERVING } from "./health.js";
import type { Supervisor } from "./supervisor.js";

/** Pause between two rounds of questions, ms. */
const ROUND_MS = 250;
/** Bytes of a log's end that a failure shows. */
const TAIL_BYTES = 1500;

/**
 * Waits until every process says SERVING.
 *
 * @param note told which processes are awaited, and what each said
 * @throws Failure `UNHEALTHY` with the end of the process's log, as soon as supervisord gives one up or its time has passed
 */
export async function awaitServing(
  context: Context,
  supervisor: Supervisor,
  note: (text: string) => void,
): Promise<void> {
  const began = performance.now();
  let waiting: readonly HealthCheck[] = healthChecks(context.catalogue, context.mesh);
  while (waiting.length > 0) {
    const answers = await Promise.all(
      waiting.map(async (check) => ({ check, answer: await check.ask(context.signal) })),
    );
    const missing = answers.filter(({ answer }) => answer !== SERVING);
    if (missing.length === 0) return;
    note(`waiting for ${missing.map(({ check, answer }) => `${check.process} (${answer})`).join(", ")}`);
    const states = await supervisor.states(context.signal);
    for (const { check, answer } of missing) {
      const state = states.find(({ name }) => name === check.process)?.state ?? "UNKNOWN";
      const late = performance.now() - began > check.startSeconds * 1000;
      if (state === "FATAL" || late)
        throw await unhealthy(context, check, late ? `${answer} after ${check.startSeconds} s` : "gave up starting");
    }
    waiting = missing.map(({ check }) => check);
    await delay(ROUND_MS, undefined, { signal: context.signal });
  }
}

async function unhealthy(context: Context, check: HealthCheck, what: string): Promise<Failure> {
  const log = `${context.mesh.paths.logs}/${check.process}.log`;
  return new Failure({
    reason: "UNHEALTHY",
    message: `${check.process}: ${what}; the end of ${log}:\n${await tail(log)}`,
    remedy: `correct what its log says, then make up`,
  });
}

async function tail(path: string): Promise<string> {
  try {
    await using file = await open(path);
    const { size } = await file.stat();
    const { buffer, bytesRead } = await file.read(
      Buffer.alloc(TAIL_BYTES),
      0,
      TAIL_BYTES,
      Math.max(0, size - TAIL_BYTES),
    );
    return buffer.subarray(0, bytesRead).toString("utf8").trimEnd();
  } catch {
    return "(there is no log)";
  }
}
