import { openEvents, startTelemetry } from "@uait/kit";
import { freePort, NatsServer, testConfig, waitUntil } from "@uait/kit/testing";
import { afterAll, beforeAll, expect, test } from "vitest";
import { EventJournal } from "./nats-journal.js";
import { MeshStub } from "./testing/mesh.js";
import { idOf, never } from "./testing/scene.js";
import { answerOf, as, casesOf, collect, newRequestId, refusal, startService, task } from "./testing/service.js";
import { RunState } from "./vocabulary.js";

let nats: NatsServer;
let mesh: MeshStub;
let port: number;

beforeAll(async () => {
  [nats, mesh, port] = await Promise.all([NatsServer.start(), MeshStub.start(), freePort()]);
});

afterAll(async () => {
  await Promise.all([nats.stop(), mesh.stop()]);
});

const start = () => startService(mesh, { UAIT_NATS_URL: nats.url, UAIT_PORT: String(port) });

test("run_and_its_feedback_are_there_after_a_restart_and_a_repeat_gets_the_first_answer", async () => {
  const first = await start();
  const request = task({ labels: { team: "a" } });
  const events = await collect(first.client.run(request, as("acme")));
  const runId = idOf(request);
  await first.client.recordFeedback({ requestId: newRequestId(), runId, reward: 0.75 }, as("acme"));
  const before = (await first.client.getRun({ runId }, as("acme"))).run;
  await first.stop();
  const second = await start();
  try {
    const after = (await second.client.getRun({ runId }, as("acme"))).run;
    expect(after).toMatchObject({ state: RunState.RUN_STATE_ANSWERED, reward: 0.75, labels: { team: "a" } });
    expect(after?.answer).toMatchObject({ text: "42", verdicts: before?.answer?.verdicts, model: "default-model" });
    expect(after?.sequence).toBe(before?.sequence);
    const asked = mesh.generated.length;
    const repeated = await collect(second.client.run(request, as("acme")));
    expect(casesOf(repeated)).toEqual(["started", "answer"]);
    expect(answerOf(repeated).text).toBe(answerOf(events).text);
    expect(mesh.generated.length).toBe(asked);
    expect(await refusal(second, { ...request, task: "another" })).toMatchObject({ reason: "REQUEST_ID_REUSED" });
    const { runs } = await second.client.listRuns({}, as("acme"));
    expect(runs.map((each) => each.runId)).toContain(runId);
  } finally {
    await second.stop();
  }
});

test("run_that_was_under_way_when_its_replica_was_killed_becomes_failed_with_its_reason", async () => {
  const config = testConfig({ UAIT_NATS_URL: nats.url, UAIT_SERVICE: "orchestrator" });
  const telemetry = await startTelemetry(config, () => undefined);
  const events = openEvents({ config, telemetry });
  const journal = new EventJournal(events);
  const from = {
    identity: { tenant: "acme", subject: "", scopes: [] },
    span: { traceId: "0".repeat(32), spanId: "0".repeat(16), traceFlags: 0 },
    signal: new AbortController().signal,
    deadlineMs: undefined,
  };
  const budget = {
    maxNodes: 1,
    maxTokens: undefined,
    maxCostMicroUsd: undefined,
    maxWallTime: { seconds: 300n, nanos: 0 },
  };
  const common = { taskType: "sums", task: "?", searchId: "", subject: "", budget, labels: {} };
  for (const [runId, owner] of [
    ["mine", `127.0.0.1:${port}`],
    ["others", "127.0.0.9:1"],
  ] as const) {
    const value = { ...common, runId, owner, requestDigest: new Uint8Array() };
    await journal.append({ $case: "runStarted", value }, `${runId}.started`, from);
  }
  const service = await start();
  const stateOf = async (runId: string) => (await service.client.getRun({ runId }, as("acme"))).run;
  await waitUntil("it is failed", async () => (await stateOf("mine"))?.state === RunState.RUN_STATE_FAILED);
  expect((await stateOf("mine"))?.failure).toMatchObject({ code: 14, reason: "DRAINING" });
  expect((await stateOf("others"))?.state).toBe(RunState.RUN_STATE_RUNNING);
  await service.stop();
  await events.close();
});

test("answer_comes_while_the_event_log_is_away_and_says_that_it_is_not_stored", async () => {
  const service = await start();
  await collect(service.client.run(task(), as("acme")));
  await nats.kill();
  const answer = answerOf(await collect(service.client.run(task(), as("acme"))));
  expect(answer).toMatchObject({ text: "42", degraded: true });
  expect(answer.degradations.map(({ dependency }) => dependency)).toEqual(["nats"]);
  await nats.restart();
  await service.stop();
});

test("detached_run_that_the_end_of_its_replica_cuts_off_is_failed_not_cancelled", async () => {
  const service = await start();
  mesh.say = (_, { signal }) => never(signal);
  const request = task({ detached: true });
  const abort = new AbortController();
  await expect(async () => {
    for await (const { event } of service.client.run(request, { ...as("acme"), signal: abort.signal })) {
      if (event?.$case === "node") abort.abort();
    }
  }).rejects.toThrow();
  await service.stop();
  const next = await start();
  const { run } = await next.client.getRun({ runId: idOf(request) }, as("acme"));
  expect(run).toMatchObject({ state: RunState.RUN_STATE_FAILED, failure: { code: 14, reason: "DRAINING" } });
  await next.stop();
});
