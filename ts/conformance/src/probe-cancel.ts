import { setTimeout as delay } from "node:timers/promises";
import type { CancelProbe } from "./case-file.js";
import { DEFAULT_TENANT, type ProbeContext } from "./case-runner.js";
import { valueAt } from "./json.js";

// Together with a call answered after it, long enough for the call to have reached the handler, which nothing but its end
// can tell.
const UNDER_WAY_MS = 150;
const LIMIT_MS = 10_000;

/** Cancels calls under way and asks the server when their handlers ended. */
export async function cancelProbe(probe: CancelProbe, context: ProbeContext): Promise<string | undefined> {
  const lateness: number[] = [];
  for (let attempt = 0; attempt < probe.tries; attempt++) {
    const result = await cancelOnce(`cancel-${context.variables.unique}-${attempt}`, context);
    if (typeof result === "string") return result;
    lateness.push(result);
  }
  const median = [...lateness].sort((a, b) => a - b)[Math.floor(lateness.length / 2)] ?? Number.POSITIVE_INFINITY;
  if (median <= probe.within_ms) return undefined;
  return `handler ended: expected within ${probe.within_ms} ms of the cancellation, came ${median.toFixed(1)} ms (median)`;
}

async function cancelOnce(callId: string, { client }: ProbeContext): Promise<number | string> {
  const options = { metadata: { "x-uait-tenant": DEFAULT_TENANT }, deadlineMs: LIMIT_MS };
  const cancel = new AbortController();
  const call = client.call("Echo", [{ message: "cancel me", callId, behaviour: { delay: "60s" } }], {
    ...options,
    deadlineMs: LIMIT_MS * 6,
    signal: cancel.signal,
  });
  await delay(UNDER_WAY_MS);
  await client.call("Echo", [{ message: "x" }], options);
  const outcome = client.call("AwaitOutcome", [{ callId }], options);
  const cancelledMs = performance.now();
  cancel.abort();
  const ended = await outcome;
  const lateMs = performance.now() - cancelledMs;
  const { code } = await call;
  if (code !== "CANCELLED") return `the caller's code: expected CANCELLED, came ${code}`;
  const handlerCode = valueAt(ended.responses[0], "code");
  if (handlerCode === "CANCELLED") return lateMs;
  return `the handler's code: expected CANCELLED, came ${JSON.stringify(handlerCode)} (${ended.code} ${ended.message})`;
}
