import type { Event } from "@uait/gen/uait/event/v1/event.js";
import { LlmRouterServiceDefinition, Preference, UsageDimension } from "@uait/gen/uait/llm_router/v1/llm_router.js";
import { FinishReason, Role } from "@uait/gen/uait/types/v1/generation.js";
import { type EventLog, openEvents, type RunningServer, Status, startTelemetry } from "@uait/kit";
import { drainStream, failureOf, NatsServer, testConfig, waitUntil } from "@uait/kit/testing";
import { type Channel, type Client, createChannel, createClient, Metadata } from "nice-grpc";
import { afterAll, beforeAll, expect, test } from "vitest";
import { loadRouterConfig, startRouter } from "./index.js";
import { answer, beginning, FakeInference } from "./testing/inference.js";

let nats: NatsServer;
let inference: FakeInference;
let server: RunningServer;
let channel: Channel;
let router: Client<typeof LlmRouterServiceDefinition>;
let witness: EventLog;
const events: Event[] = [];

beforeAll(async () => {
  nats = await NatsServer.start();
  inference = await FakeInference.start();
  server = await startRouter(
    loadRouterConfig({
      UAIT_PORT: "0",
      UAIT_HTTP_PORT: "0",
      UAIT_NATS_URL: nats.url,
      UAIT_LEASE: "off",
      UAIT_DRAIN_DELAY_MS: "0",
      UAIT_LOG_LEVEL: "error",
      OTEL_SDK_DISABLED: "true",
      UAIT_MESH: inference.address,
    }),
  );
  channel = createChannel(server.address);
  router = createClient(LlmRouterServiceDefinition, channel);
  const config = testConfig({ UAIT_NATS_URL: nats.url });
  witness = openEvents({ config, telemetry: await startTelemetry(config, () => undefined) });
  witness.consume("llm", (event) => {
    events.push(event);
  });
});
afterAll(async () => {
  channel.close();
  await server.drain();
  await witness.close();
  await inference.stop();
  await nats.stop();
});

const as = (tenant: string) => ({ metadata: Metadata({ "x-uait-tenant": tenant, "x-uait-subject": "user:1" }) });
const REQUEST = {
  messages: [{ role: Role.ROLE_USER, parts: [{ content: { $case: "text" as const, value: "Hello?" } }] }],
  attribution: { runId: "run-1", nodeId: "n-1", taskType: "code", agent: "direct" },
};
const finished = (tenant: string) =>
  events.flatMap((event) =>
    event.tenant === tenant && event.payload?.$case === "modelCallFinished" ? [event.payload.value] : [],
  );

test("call_that_ended_well_is_an_event_with_what_it_used", async () => {
  await drainStream(router.generate(REQUEST, as("well")));
  await waitUntil("the event is there", () => finished("well").length > 0);
  expect(finished("well")).toMatchObject([
    {
      model: "smollm2-135m-instruct",
      upstream: "ml-inference",
      runId: "run-1",
      nodeId: "n-1",
      taskType: "code",
      agent: "direct",
      subject: "user:1",
      attempt: 1,
      usage: { inputTokens: 7n, outputTokens: 1n, calls: 1, costMicroUsd: 0n },
      finishReason: FinishReason.FINISH_REASON_STOP,
      failure: undefined,
    },
  ]);
});

test("call_that_failed_or_was_cancelled_is_an_event_with_its_failure", async () => {
  inference.chat = (_, { signal }) => beginning(signal);
  const abort = new AbortController();
  const stream = router.generate(REQUEST, { ...as("gone"), signal: abort.signal });
  const read = async () => {
    for await (const { event } of stream) if (event?.$case === "delta") abort.abort();
  };
  await expect(read()).rejects.toThrow();
  await waitUntil("the event is there", () => finished("gone").length > 0);
  expect(finished("gone")).toMatchObject([
    { finishReason: 0, failure: { code: Status.CANCELLED, reason: "CANCELLED" } },
  ]);
  inference.chat = () => answer("hello");
});

test("budget_set_holds_from_the_call_that_spends_it_and_is_each_tenants_own", async () => {
  const request = { requestId: "r1", budgetId: "daily", period: 2, maxTokens: 5n } as const;
  const { budget } = await router.setBudget(request, as("frugal"));
  expect(budget).toMatchObject({ budgetId: "daily", maxTokens: 5n, used: { calls: 0 } });
  expect((await router.setBudget(request, as("frugal"))).budget?.etag).toBe(budget?.etag);
  await drainStream(router.generate(REQUEST, as("frugal")));
  const refused = await failureOf((options) => drainStream(router.generate(REQUEST, { ...as("frugal"), ...options })));
  expect(refused).toMatchObject({
    code: Status.RESOURCE_EXHAUSTED,
    reason: "BUDGET_EXHAUSTED",
    metadata: { budget: "daily", limit: "5 tokens in a day" },
  });
  expect(refused.retryAfterMs).toBeGreaterThan(0);
  await drainStream(router.generate(REQUEST, as("lavish")));
  const stale = { ...request, requestId: "r2", etag: "999999" };
  expect(await failureOf((options) => router.setBudget(stale, { ...as("frugal"), ...options }))).toMatchObject({
    code: Status.ABORTED,
    reason: "ETAG_MISMATCH",
    metadata: { etag: budget?.etag },
  });
});

test("usage_is_summed_from_the_log_by_group_with_budgets", async () => {
  for (const agent of ["one", "one", "two"])
    await drainStream(router.generate({ ...REQUEST, attribution: { ...REQUEST.attribution, agent } }, as("counted")));
  await router.setBudget({ requestId: "b", budgetId: "hourly", period: 1, maxTokens: 1000n }, as("counted"));
  await waitUntil("the events are there", () => finished("counted").length === 3);
  const groupBy = [UsageDimension.USAGE_DIMENSION_AGENT, UsageDimension.USAGE_DIMENSION_UPSTREAM];
  const first = await router.getUsage({ groupBy, pageSize: 1 }, as("counted"));
  const second = await router.getUsage({ groupBy, pageSize: 1, pageToken: first.nextPageToken }, as("counted"));
  expect([...first.rows, ...second.rows]).toMatchObject([
    { group: ["one", "ml-inference"], usage: { calls: 2, inputTokens: 14n }, failedCalls: 0n },
    { group: ["two", "ml-inference"], usage: { calls: 1, inputTokens: 7n }, failedCalls: 0n },
  ]);
  expect(first.budgets).toMatchObject([{ budgetId: "hourly", used: { calls: 3 } }]);
  expect(second.budgets).toEqual([]);
  expect((await router.getUsage({}, as("stranger"))).rows).toEqual([]);
  const backwards = { timeRange: { start: new Date(2), end: new Date(1) } };
  expect(await failureOf((options) => router.getUsage(backwards, { ...as("counted"), ...options }))).toMatchObject({
    code: Status.INVALID_ARGUMENT,
    reason: "VALUE_CONFLICT",
  });
});

test("scores_of_runs_decide_when_quality_is_preferred", async () => {
  inference.models = ["one", "two"].map((name) => ({ name, chat: true, contextTokens: 2048, state: 3 }));
  const from = {
    identity: { tenant: "learner", subject: "", scopes: [] },
    span: { traceId: "0".repeat(32), spanId: "0".repeat(16), traceFlags: 0 },
    signal: new AbortController().signal,
    deadlineMs: undefined,
  };
  const { RunNodeAdded } = await import("@uait/gen/uait/event/v1/run_event.js");
  const value = RunNodeAdded.fromPartial({
    taskType: "code",
    arm: { parameters: { model: "two" } },
    outcome: { $case: "score", value: 0.9 },
  });
  await witness.publish({ area: "run", payload: { $case: "runNodeAdded", value }, from });
  const wanted = { prefer: Preference.PREFERENCE_QUALITY };
  const request = { route: { target: { $case: "requirements" as const, value: wanted } }, taskType: "code" };
  await waitUntil("the score counts", async () => {
    const { candidates } = await router.getRouting(request, as("learner"));
    return candidates[0]?.model?.name === "two" && candidates[0].reasons.includes("scores 0.900 in this task type");
  });
});
