/** Every process of the mesh is killed in turn while Runs go on and memories are stored. */
import { randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { MemoryServiceDefinition } from "@uait/gen/uait/memory/v1/memory.js";
import { type Channel, type Client, ClientError, createChannel, createClient, Metadata } from "nice-grpc";
import { afterAll, beforeAll, expect, test } from "vitest";
import { until } from "../harness/network.js";
import { Mesh } from "../mesh/mesh.js";
import { ARITHMETIC, Asker, ONE_ATTEMPT, type Request, type Told } from "./ask.js";
import { signed } from "./keys.js";

const ROUNDS = 20;
const NEXT_RUN_MS = 10_000;
const BACK_MS = 30_000;
const STORE_EVERY_MS = 250;
/** A Run in flight has its wall time, and some for telling. */
const IN_FLIGHT_MS = 40_000;
const ROUND_MS = IN_FLIGHT_MS + NEXT_RUN_MS + BACK_MS;
const REQUEST: Request = { ...ARITHMETIC, budget: { maxNodes: 6, maxWallTime: { seconds: 30n, nanos: 0 } } };
/** What a Run in flight may end with: an answer, or a code by which its caller knows to try again. */
const CLEAR = new Set(["OK", "UNAVAILABLE", "DEADLINE_EXCEEDED", "ABORTED", "CANCELLED", "RESOURCE_EXHAUSTED"]);
/** A stream that has begun can only be reset by Envoy when its server dies; gRPC calls that INTERNAL. */
const isReset = ({ code, message }: Told): boolean => code === "INTERNAL" && message.includes("RST_STREAM");

let mesh: Mesh;
/** One for each round, made while nothing is away. */
let askers: readonly Asker[];
let channel: Channel;
let memory: Client<MemoryServiceDefinition>;
/** Memories are another tenant's, so that they are not the context of the Runs. */
let rememberer: Metadata;
const acknowledged = new Map<string, string>();

beforeAll(async () => {
  mesh = await Mesh.open();
  askers = await Promise.all(Array.from({ length: ROUNDS }, () => Asker.alone(mesh)));
  channel = createChannel(mesh.edge);
  memory = createClient(MemoryServiceDefinition, channel);
  rememberer = Metadata({ authorization: `Bearer ${await signed(mesh, { tenant: "acme", lifetime: 3600 })}` });
});

afterAll(() => {
  for (const asker of askers ?? []) asker.close();
  channel?.close();
});

/** Stores memories until stopped; keeps those that were acknowledged. */
function storing(): { stop(): Promise<void> } {
  let going = true;
  const work = (async () => {
    while (going) {
      const requestId = randomUUID();
      const text = `the number of ${requestId} is ${acknowledged.size}`;
      try {
        const { memory: stored } = await memory.store({ requestId, memory: { text } }, { metadata: rememberer });
        if (stored !== undefined) acknowledged.set(stored.memoryId, text);
      } catch (error) {
        if (!(error instanceof ClientError)) throw error;
      }
      // Each memory is embedded by the model service, whose processors the Runs need too.
      await delay(STORE_EVERY_MS);
    }
  })();
  return {
    stop: async () => {
      going = false;
      await work;
    },
  };
}

test(
  "process_killed_during_runs_comes_back_and_loses_nothing",
  async () => {
    const names = [...(await mesh.running()).keys()];
    expect(names.length).toBeGreaterThan(15);
    const store = storing();
    const ends: string[] = [];
    try {
      for (const [round, asker] of askers.entries()) {
        const name = names[round % names.length] ?? "";
        const { ended, tookMs, nextMs } = await killDuringRun(name, asker);
        ends.push(`${name} ${ended.code} after ${tookMs.toFixed(0)} ms, the next after ${nextMs.toFixed(0)} ms`);
        console.log(ends.at(-1));
        const clear = CLEAR.has(ended.code) || isReset(ended);
        expect(clear, `the Run in flight when ${name} was killed: ${ended.code} ${ended.message}`).toBe(true);
        expect(tookMs, `the Run in flight when ${name} was killed`).toBeLessThan(IN_FLIGHT_MS);
        expect(nextMs, `the next Run after ${name} was killed`).toBeLessThan(NEXT_RUN_MS);
        await until(async () => (await mesh.running()).has(name), {
          what: `the supervisor brings ${name} back`,
          timeoutMs: BACK_MS,
          everyMs: 50,
        });
      }
    } finally {
      await store.stop();
    }
    expect(ends).toHaveLength(ROUNDS);
    expect(acknowledged.size).toBeGreaterThan(ROUNDS);
    for (const [memoryId, text] of acknowledged) {
      const { memory: kept } = await memory.get({ memoryId }, { metadata: rememberer });
      expect(kept?.text).toBe(text);
    }
    console.log(`${ends.length} rounds, ${acknowledged.size} memories acknowledged, none lost`);
  },
  ROUNDS * ROUND_MS,
);

/** Kills a process once a Run has begun its first attempt; tells how that Run ended, and when the next was answered. */
async function killDuringRun(name: string, asker: Asker): Promise<{ ended: Told; tookMs: number; nextMs: number }> {
  const pid = (await mesh.running()).get(name);
  if (pid === undefined) throw new Error(`${name} does not run`);
  let begun: () => void = () => undefined;
  const underWay = new Promise<void>((resolve) => {
    begun = resolve;
  });
  const inFlight = asker.run(REQUEST, {
    onEvent: ({ event }) => {
      if (event?.$case === "node") begun();
    },
  });
  await Promise.race([underWay, inFlight]);
  process.kill(pid, "SIGKILL");
  const killedMs = performance.now();
  const next = (async () => {
    let last: Told | undefined;
    try {
      await until(
        async () => {
          last = await asker.run(ONE_ATTEMPT);
          return last.code === "OK";
        },
        { what: `the next Run after ${name} was killed is answered`, timeoutMs: NEXT_RUN_MS, everyMs: 100 },
      );
    } catch (error) {
      throw new Error(`${String(error)}; the last one ended with ${last?.code} ${last?.message}`);
    }
    return performance.now() - killedMs;
  })();
  const ends = inFlight.then((ended) => ({ ended, tookMs: performance.now() - killedMs }));
  const [{ ended, tookMs }, nextMs] = await Promise.all([ends, next]);
  return { ended, tookMs, nextMs };
}
