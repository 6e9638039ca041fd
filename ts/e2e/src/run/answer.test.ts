/** One task, from the edge to a real model and back. */
import { randomUUID } from "node:crypto";
import { Detail } from "@uait/gen/uait/orchestrator/v1/orchestrator.js";
import { RunState } from "@uait/gen/uait/orchestrator/v1/run.js";
import { afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { until } from "../harness/network.js";
import { Mesh } from "../mesh/mesh.js";
import { ARITHMETIC, Asker, answered, ONE_ATTEMPT } from "./ask.js";
import { signed } from "./keys.js";

let mesh: Mesh;
let asker: Asker;

beforeAll(async () => {
  mesh = await Mesh.open();
});

beforeEach(async () => {
  asker = await Asker.alone(mesh);
});

afterEach(() => asker?.close());

test("run_streams_its_events_in_order_and_ends_with_the_answer", async () => {
  const told = await asker.run({ ...ARITHMETIC, detail: Detail.DETAIL_TOKENS });
  const answer = answered(told);
  const kinds = told.events.map(({ event }) => event?.$case);
  expect(kinds[0]).toBe("started");
  for (const kind of ["context", "agents", "node", "token", "score"]) expect(kinds).toContain(kind);
  expect(kinds.at(-1)).toBe("answer");
  const sequences = told.events.map(({ sequence }) => sequence);
  expect(sequences).toEqual([...sequences].sort((a, b) => Number(a - b)));
  expect(new Set(sequences).size).toBe(sequences.length);
  expect(answer.text).not.toBe("");
  expect(answer.score).toBeGreaterThanOrEqual(0);
  expect(answer.score).toBeLessThanOrEqual(1);
  // The score says what the verifier says: 1 exactly when the last number is the one expected.
  expect(answer.score).toBe(Number(/(-?\d+(?:\.\d+)?)(?!.*\d)/s.exec(answer.text)?.[1]) === 12 ? 1 : 0);
  expect(answer.nodes).toBeGreaterThan(0);
  expect(answer.nodes).toBeLessThanOrEqual(6);
  expect(answer.usage?.outputTokens).toBeGreaterThan(0n);
  expect(answer.usage?.costMicroUsd).toBe(0n);
  expect(answer.traceId).toMatch(/^[0-9a-f]{32}$/);
  expect(answer.degraded, JSON.stringify(answer.degradations)).toBe(false);
});

test("run_repeated_with_its_request_id_tells_the_same_answer", async () => {
  const requestId = randomUUID();
  const first = answered(await asker.run({ ...ARITHMETIC, requestId }));
  const again = answered(await asker.run({ ...ARITHMETIC, requestId }));
  expect(again).toEqual(first);
});

test("run_can_be_read_by_its_tenant_and_by_nobody_else", async () => {
  const told = await asker.run(ONE_ATTEMPT);
  const runId = told.events[0]?.runId ?? "";
  const { run } = await asker.client.getRun({ runId }, { metadata: asker.metadata });
  expect(run?.state).toBe(RunState.RUN_STATE_ANSWERED);
  expect(run?.answer?.text).toBe(answered(told).text);
  const { runs } = await asker.client.listRuns({ pageSize: 10 }, { metadata: asker.metadata });
  expect(runs.map((listed) => listed.runId)).toContain(runId);

  const stranger = new Asker(mesh, await signed(mesh, { tenant: "acme" }));
  try {
    await expect(stranger.client.getRun({ runId }, { metadata: stranger.metadata })).rejects.toThrow(/NOT_FOUND/);
    const listed = await stranger.client.listRuns({}, { metadata: stranger.metadata });
    expect(listed.runs.map((other) => other.runId)).not.toContain(runId);
  } finally {
    stranger.close();
  }
});

test("run_whose_caller_goes_away_is_cancelled", async () => {
  const controller = new AbortController();
  let runId = "";
  const told = asker.run(
    {
      task: "Tell a very long story about a lighthouse.",
      sampling: { maxOutputTokens: 2000 },
      budget: { maxNodes: 64 },
      detail: Detail.DETAIL_TOKENS,
    },
    {
      signal: controller.signal,
      onEvent: (event) => {
        runId = event.runId;
        if (event.event?.$case === "token") controller.abort();
      },
    },
  );
  await expect(told).rejects.toThrow(/abort/i);
  const state = await until(
    async () => {
      const { run } = await asker.client.getRun({ runId }, { metadata: asker.metadata });
      return run?.state !== RunState.RUN_STATE_RUNNING && run?.state;
    },
    { what: "the run ends", timeoutMs: 20_000, everyMs: 50 },
  );
  expect(state).toBe(RunState.RUN_STATE_CANCELLED);
});

test("run_by_grpcurl_streams_json", async () => {
  const printed = await mesh.grpcurl(
    ...["-H", `authorization: Bearer ${mesh.key}`],
    ...[
      "-d",
      JSON.stringify({
        requestId: randomUUID(),
        task: "Say hello.",
        sampling: { maxOutputTokens: 24 },
        budget: { maxNodes: 1 },
      }),
    ],
    ...[mesh.edge, "uait.orchestrator.v1.OrchestratorService/Run"],
  );
  const events = printed
    .trim()
    .split(/\n(?=\{)/)
    .map((text) => JSON.parse(text) as Record<string, unknown>);
  expect(events[0]).toHaveProperty("started");
  expect(events.at(-1)).toHaveProperty("answer.text");
});
