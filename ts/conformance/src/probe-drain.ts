import { readFile } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import type { DrainProbe } from "./case-file.js";
import { DEFAULT_TENANT, type ProbeContext } from "./case-runner.js";
import type { CallResult } from "./echo-client.js";

const LIMIT_MS = 60_000;
const POLL_MS = 10;
const STREAM_INTERVAL_MS = 100;

/** Stops the server under load: nothing under way is cut off, nothing new is refused too early. */
export async function drainProbe(probe: DrainProbe, context: ProbeContext): Promise<string | undefined> {
  const { client, pid } = context;
  if (pid === undefined) return "--pid: expected the process id of the server, came none";
  const options = { metadata: { "x-uait-tenant": DEFAULT_TENANT }, deadlineMs: LIMIT_MS };
  const count = Math.ceil(probe.delay_ms / STREAM_INTERVAL_MS) + 1;
  const calls = Array.from({ length: probe.calls }, () =>
    client.call("Echo", [{ message: "drain", behaviour: { delay: `${probe.delay_ms / 1000}s` } }], options),
  );
  // Streams are opened after the calls on the same connection: when they have answered, the calls are under way too.
  const streams = Array.from({ length: probe.calls }, () => {
    const { promise, resolve } = signal();
    const request = { message: "drain", count, interval: `${STREAM_INTERVAL_MS / 1000}s` };
    const result = client.call("Expand", [request], options, resolve);
    return { underWay: Promise.race([promise, result]), result };
  });
  await Promise.all(streams.map(({ underWay }) => underWay));

  const stoppedMs = performance.now();
  process.kill(pid, "SIGTERM");
  const early = await afterSignal(probe, context, stoppedMs);
  if (early !== undefined) return early;
  const echoes = await Promise.all(calls);
  const expansions = await Promise.all(streams.map(({ result }) => result));
  return (
    firstFailure(echoes, 1, "call") ??
    firstFailure(expansions, count, "stream") ??
    (await waitUntilGone(pid, probe.gone_ms, stoppedMs))
  );
}

async function afterSignal(
  probe: DrainProbe,
  { client, library, server }: ProbeContext,
  stoppedMs: number,
): Promise<string | undefined> {
  const health = library.health(server);
  try {
    let status = "";
    while (performance.now() - stoppedMs <= probe.within_ms) {
      status = await health.check("");
      if (status === "NOT_SERVING") break;
      await delay(POLL_MS);
    }
    if (status !== "NOT_SERVING") return `health: expected NOT_SERVING within ${probe.within_ms} ms, came ${status}`;
  } finally {
    health.close();
  }
  const late = await client.call("Echo", [{ message: "late" }], {
    metadata: { "x-uait-tenant": DEFAULT_TENANT },
    deadlineMs: LIMIT_MS,
  });
  return late.code === "OK" ? undefined : `a new call while draining: expected OK, came ${late.code} (${late.message})`;
}

function firstFailure(results: readonly CallResult[], count: number, what: string): string | undefined {
  for (const { code, message, responses } of results) {
    if (code !== "OK") return `a ${what} under way: expected OK, came ${code} (${message})`;
    if (responses.length !== count) return `a ${what} under way: expected ${count} responses, came ${responses.length}`;
  }
  return undefined;
}

async function waitUntilGone(pid: number, limitMs: number, sinceMs: number): Promise<string | undefined> {
  while (performance.now() - sinceMs <= limitMs) {
    if (!(await isRunning(pid))) return undefined;
    await delay(POLL_MS);
  }
  return `process ${pid}: expected to be gone within ${limitMs} ms, came still running`;
}

// A process that has ended but was not waited for by its parent still takes signals.
async function isRunning(pid: number): Promise<boolean> {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  const stat = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => "");
  return !/\) Z /.test(stat);
}

function signal(): { readonly promise: Promise<void>; resolve(): void } {
  let resolve: () => void = () => undefined;
  const promise = new Promise<void>((done) => {
    resolve = done;
  });
  return { promise, resolve: () => resolve() };
}
