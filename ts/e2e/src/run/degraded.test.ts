/** Parts of the mesh are away: a Run succeeds all the same, and says what it had to do without. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { until } from "../harness/network.js";
import { Mesh } from "../mesh/mesh.js";
import { Asker, answered, JUDGED, JUDGED_ONCE, ONE_ATTEMPT } from "./ask.js";

const BACK_MS = 60_000;
const KNOWN_MS = 30_000;

let mesh: Mesh;
let asker: Asker;

beforeAll(async () => {
  mesh = await Mesh.open();
  asker = await Asker.alone(mesh);
});

afterAll(() => asker?.close());

async function without<T>(process: string, work: () => Promise<T>): Promise<T> {
  await mesh.stop(process);
  try {
    return await work();
  } finally {
    await mesh.start(process);
    await until(async () => !answered(await asker.run(JUDGED_ONCE)).degraded, {
      what: `a Run misses nothing once ${process} is back`,
      timeoutMs: BACK_MS,
      everyMs: 100,
    });
  }
}

test.each([
  ["weaviate", [ONE_ATTEMPT]],
  // As a judge and as an agent.
  ["dspy", [JUDGED, ONE_ATTEMPT]],
])("run_without_%s_is_answered_and_says_so", async (process, requests) => {
  await without(process, async () => {
    for (const request of requests) {
      const answer = answered(await asker.run(request));
      expect(answer.degraded).toBe(true);
      expect(answer.degradations.map(({ dependency }) => dependency).join(" ")).toContain(process);
    }
  });
});

// Nothing is asked of these two: that they are away is known within seconds, by a probe and by the lease.
test.each(["jaeger", "intelligent-load-balancer"])("run_without_%s_is_answered_and_soon_says_so", async (process) => {
  await without(process, async () => {
    let asked = 0;
    const texts: string[] = [];
    await until(
      async () => {
        asked++;
        const { text, degraded, degradations } = answered(await asker.run(ONE_ATTEMPT));
        texts.push(text);
        return degraded && degradations.some(({ dependency }) => dependency === process);
      },
      { what: `a Run says that ${process} is away`, timeoutMs: KNOWN_MS, everyMs: 100 },
    );
    expect(texts).toHaveLength(asked);
    expect(texts).not.toContain("");
  });
});
