import {
  Capability,
  type DeepPartial,
  type GenerateRequest,
  type GenerateResponse,
  LlmRouterServiceDefinition,
  Preference,
} from "@uait/gen/uait/llm_router/v1/llm_router.js";
import { FinishReason, Role } from "@uait/gen/uait/types/v1/generation.js";
import { type RunningServer, Status } from "@uait/kit";
import { drainStream, failureOf, waitUntil } from "@uait/kit/testing";
import { type Channel, type Client, createChannel, createClient, Metadata } from "nice-grpc";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { loadRouterConfig, startRouter } from "./index.js";
import { begin, chat, content, Endpoint, finish, refuse, send, usage } from "./testing/endpoint.js";
import { answer, beginning, FakeInference } from "./testing/inference.js";

const LOCAL = "smollm2-135m-instruct";
const REMOTE = "cloud/gpt-x";
/** Upstreams each with little patience of one kind: were it of several, a slow machine could end a call by another. */
const HASTY = {
  "hasty-byte": { first_byte_ms: 300 },
  "hasty-idle": { idle_ms: 300 },
  "hasty-token": { first_token_ms: 300 },
};
const HASTY_MODELS = Object.keys(HASTY).map((upstream) => `${upstream}/gpt-z`);
const KEY = "sk-secret";

let inference: FakeInference;
let endpoint: Endpoint;
let server: RunningServer;
let channel: Channel;
let router: Client<typeof LlmRouterServiceDefinition>;

beforeAll(async () => {
  inference = await FakeInference.start();
  endpoint = await Endpoint.start();
});
afterAll(async () => {
  await inference.stop();
  await endpoint.stop();
});

beforeEach(async () => {
  inference.chat = () => answer("hello there");
  inference.lists = true;
  inference.requests.length = 0;
  inference.contexts.length = 0;
  endpoint.complete = (response) => chat(response, [content("hi"), finish("stop"), usage(1000, 100)]);
  endpoint.seen.length = 0;
  const config = loadRouterConfig({
    UAIT_PORT: "0",
    UAIT_HTTP_PORT: "0",
    UAIT_NATS_URL: "off",
    UAIT_LEASE: "off",
    UAIT_DRAIN_DELAY_MS: "0",
    UAIT_DRAIN_TIMEOUT_MS: "1000",
    UAIT_LOG_LEVEL: "error",
    OTEL_SDK_DISABLED: "true",
    UAIT_MESH: inference.address,
    CLOUD_KEY: KEY,
    UAIT_LLM_UPSTREAMS: JSON.stringify([
      {
        name: "cloud",
        base_url: `${endpoint.url}/`,
        key: { env: "CLOUD_KEY" },
        models: [
          {
            name: "gpt-x",
            capabilities: ["tools", "vision", "json_schema"],
            context_tokens: 100_000,
            price: { input_micro_usd: 2_000_000, cached_input_micro_usd: 1_000_000, output_micro_usd: 10_000_000 },
          },
          { name: "gpt-y", price: { input_micro_usd: 1, output_micro_usd: 1 } },
        ],
      },
      ...Object.entries(HASTY).map(([name, patience]) => ({
        name,
        base_url: endpoint.url,
        ...patience,
        models: [{ name: "gpt-z", price: { input_micro_usd: 100_000_000, output_micro_usd: 100_000_000 } }],
      })),
    ]),
  });
  server = await startRouter(config);
  channel = createChannel(server.address);
  router = createClient(LlmRouterServiceDefinition, channel, {
    "*": { metadata: Metadata({ "x-uait-tenant": "acme", "x-uait-subject": "user:1" }) },
  });
});
afterEach(async () => {
  channel.close();
  await server.drain();
});

const ask = (request: DeepPartial<GenerateRequest> = {}): DeepPartial<GenerateRequest> => ({
  messages: [{ role: Role.ROLE_USER, parts: [{ content: { $case: "text", value: "Hello?" } }] }],
  ...request,
});
const model = (value: string, ...fallbacks: string[]) => ({
  route: { target: { $case: "model", value } as const, fallbacks },
});
const events = async (request = ask()) => await drainStream(router.generate(request));
const failure = (request = ask()) => failureOf((options) => drainStream(router.generate(request, options)));
const textOf = (all: readonly GenerateResponse[]) =>
  all.map(({ event }) => (event?.$case === "delta" ? event.value.text : "")).join("");
const routedOf = (all: readonly GenerateResponse[]) =>
  all.flatMap(({ event }) => (event?.$case === "routed" ? [event.value] : []));
const endOf = (all: readonly GenerateResponse[]) => {
  const last = all.at(-1)?.event;
  if (last?.$case !== "end") throw new Error(`the last event is ${last?.$case}`);
  return last.value;
};

describe("local model", () => {
  test("route_absent_takes_the_cheapest_which_is_local", async () => {
    const all = await events();
    expect(routedOf(all)).toMatchObject([{ model: LOCAL, upstream: "ml-inference", attempt: 1 }]);
    expect(textOf(all)).toBe("hello there");
    const end = endOf(all);
    expect(end.usage).toMatchObject({ inputTokens: 7n, outputTokens: 2n, calls: 1, costMicroUsd: 0n });
    expect(end.finishReason).toBe(FinishReason.FINISH_REASON_STOP);
    expect(end.timeToFirstToken).toBeDefined();
  });

  test("request_reaches_ml_inference_whole_and_for_the_tenant", async () => {
    const request = ask({
      sampling: { temperature: 0.5, topK: 5, stop: ["END"], maxOutputTokens: 9 },
      constraint: { form: { $case: "regex", value: "a+" } },
      logprobs: 2,
    });
    await events(request);
    expect(inference.requests).toMatchObject([
      { model: LOCAL, sampling: { temperature: 0.5, topK: 5, stop: ["END"], maxOutputTokens: 9 }, logprobs: 2 },
    ]);
    expect(inference.contexts[0]?.metadata.get("x-uait-tenant")).toBe("acme");
  });

  test("caller_that_cancels_ends_the_upstream_call_at_once", async () => {
    let stopped = false;
    inference.chat = async function* (_, { signal }) {
      signal.addEventListener("abort", () => {
        stopped = true;
      });
      yield* beginning(signal);
    };
    const abort = new AbortController();
    const stream = router.generate(ask(), { signal: abort.signal });
    await expect(
      (async () => {
        for await (const { event } of stream) if (event?.$case === "delta") abort.abort();
      })(),
    ).rejects.toThrow();
    await waitUntil("the upstream call ended", () => stopped, 2000);
  });

  test("deadline_goes_along", async () => {
    inference.chat = async function* (_, context) {
      await new Promise<void>((resolve) => context.signal.addEventListener("abort", () => resolve()));
      yield* [];
      context.signal.throwIfAborted();
    };
    const deadline = new Date(Date.now() + 300);
    const metadata = Metadata({ "x-uait-tenant": "acme", "grpc-timeout": "300m" });
    await expect(drainStream(router.generate(ask(), { metadata }))).rejects.toMatchObject({
      code: Status.DEADLINE_EXCEEDED,
    });
    expect(Date.now()).toBeGreaterThanOrEqual(deadline.getTime() - 50);
  });

  test("ml_inference_away_is_unavailable_by_name", async () => {
    inference.lists = false;
    expect(await failure(ask(model(LOCAL)))).toMatchObject({
      code: Status.UNAVAILABLE,
      reason: "DEPENDENCY_UNAVAILABLE",
      metadata: { dependency: "ml-inference" },
    });
  });
});

describe("openai endpoint", () => {
  test("answer_comes_as_it_is_sent_with_usage_and_cost", async () => {
    const all = await events(ask(model(REMOTE)));
    expect(routedOf(all)).toMatchObject([{ model: REMOTE, upstream: "cloud" }]);
    expect(textOf(all)).toBe("hi");
    // 998 fresh tokens at 2, 2 cached at 1 and 100 written at 10 micro-USD each.
    expect(endOf(all).usage).toEqual({
      inputTokens: 1000n,
      cachedInputTokens: 2n,
      outputTokens: 100n,
      reasoningTokens: 0n,
      calls: 1,
      costMicroUsd: 2998n,
    });
    expect(endpoint.seen[0]?.headers.authorization).toBe(`Bearer ${KEY}`);
    expect(endpoint.seen[0]?.body).toMatchObject({ model: "gpt-x", stream: true });
  });

  test("tool_call_comes_whole", async () => {
    endpoint.complete = (response) => {
      const piece = (call: object) => ({ choices: [{ index: 0, delta: { tool_calls: [call] }, finish_reason: null }] });
      chat(response, [
        piece({ index: 0, id: "c1", type: "function", function: { name: "add", arguments: '{"a"' } }),
        piece({ index: 0, function: { arguments: ":1}" } }),
        finish("tool_calls"),
      ]);
    };
    const tools = [{ name: "add", parametersJsonSchema: '{"type":"object"}' }];
    const all = await events(ask({ tools, ...model(REMOTE) }));
    expect(all.map(({ event }) => event?.$case)).toEqual(["routed", "toolCall", "end"]);
    expect(all[1]?.event?.value).toEqual({ toolCallId: "c1", name: "add", argumentsJson: '{"a":1}' });
    expect(endOf(all).finishReason).toBe(FinishReason.FINISH_REASON_TOOL_CALLS);
  });

  test("caller_that_cancels_closes_the_connection", async () => {
    endpoint.complete = (response) => {
      begin(response);
      send(response, content("a"));
    };
    const abort = new AbortController();
    await expect(
      (async () => {
        for await (const { event } of router.generate(ask(model(REMOTE)), { signal: abort.signal }))
          if (event?.$case === "delta") abort.abort();
      })(),
    ).rejects.toThrow();
    await waitUntil("the endpoint sees it", () => endpoint.seen[0]?.closed === true, 2000);
  });

  test.for([
    [401, "401"],
    [500, "500"],
    [400, "400"],
    [503, "503"],
  ] as const)("refusal_%d_is_upstream_failed_by_name", async ([status, said]) => {
    endpoint.complete = (response) => refuse(response, status);
    const error = await failure(ask(model(REMOTE)));
    expect(error).toMatchObject({
      code: Status.UNAVAILABLE,
      reason: "UPSTREAM_FAILED",
      metadata: { upstream: "cloud", status: said },
    });
    expect(JSON.stringify(error)).not.toContain(KEY);
  });

  test("refusal_404_is_a_missing_model", async () => {
    endpoint.complete = (response) => refuse(response, 404);
    expect(await failure(ask(model(REMOTE)))).toMatchObject({
      code: Status.UNAVAILABLE,
      reason: "MODEL_UNAVAILABLE",
      metadata: { model: REMOTE },
    });
  });

  test("refusal_429_tells_when_to_come_back_and_the_model_rests", async () => {
    endpoint.complete = (response) => refuse(response, 429, { "retry-after": "7" });
    expect(await failure(ask(model(REMOTE)))).toMatchObject({
      reason: "UPSTREAM_FAILED",
      metadata: { status: "429" },
      retryAfterMs: 7000,
    });
    const { candidates } = await router.getRouting({ route: { target: undefined, fallbacks: [] } });
    const rested = candidates.find(({ model }) => model?.name === REMOTE);
    expect(rested?.reasons).toContain("cloud asked for no calls for now");
    expect(candidates.map(({ model }) => model?.name).at(-1)).toBe(REMOTE);
  });

  test("input_too_long_is_told_as_such", async () => {
    endpoint.complete = (response) =>
      response.writeHead(400).end(JSON.stringify({ error: { message: "long", code: "context_length_exceeded" } }));
    expect(await failure(ask(model(REMOTE)))).toMatchObject({
      code: Status.INVALID_ARGUMENT,
      reason: "INPUT_TOO_LONG",
      metadata: { model: REMOTE, limit: "100000" },
    });
  });

  test.for([
    ["that_never_answers", "first_byte_timeout", "hasty-byte/gpt-z", () => undefined],
    ["that_sends_no_token", "first_token_timeout", "hasty-token/gpt-z", begin],
    [
      "that_falls_silent",
      "idle_timeout",
      "hasty-idle/gpt-z",
      (response) => {
        begin(response);
        send(response, content("a"));
      },
    ],
    [
      "that_is_no_stream",
      "200",
      REMOTE,
      (response) => response.writeHead(200, { "content-type": "application/json" }).end("{}"),
    ],
    [
      "that_sends_no_json",
      "malformed_stream",
      REMOTE,
      (response) => {
        begin(response);
        response.end("data: {oops\n\n");
      },
    ],
    [
      "that_breaks_off",
      "broken_stream",
      REMOTE,
      (response) => {
        begin(response);
        send(response, content("a"));
        response.destroy();
      },
    ],
    [
      "that_ends_early",
      "broken_stream",
      REMOTE,
      (response) => {
        begin(response);
        response.end();
      },
    ],
    [
      "that_reports_an_error",
      "server_error",
      REMOTE,
      (response) => {
        begin(response);
        send(response, { error: { message: "overloaded" } });
        response.end();
      },
    ],
  ] as [string, string, string, Endpoint["complete"]][])("endpoint_%s_is_%s", async ([, status, name, complete]) => {
    endpoint.complete = complete;
    expect(await failure(ask(model(name)))).toMatchObject({
      code: Status.UNAVAILABLE,
      reason: "UPSTREAM_FAILED",
      metadata: { upstream: name.split("/")[0], status },
    });
    await waitUntil("the connection is closed", () => endpoint.seen[0]?.closed === true, 2000);
  });

  test("schema_that_is_no_json_is_the_callers_fault", async () => {
    const constraint = { form: { $case: "jsonSchema" as const, value: "{nope" } };
    expect(await failure(ask({ constraint, ...model(REMOTE) }))).toMatchObject({
      code: Status.INVALID_ARGUMENT,
      reason: "EXPRESSION_INVALID",
      metadata: { field: "constraint.json_schema" },
    });
  });
});

describe("fallback", () => {
  test("model_that_fails_before_a_token_gives_way_to_the_next_which_says_so", async () => {
    endpoint.complete = (response) => refuse(response, 500);
    const all = await events(ask(model(REMOTE, LOCAL)));
    expect(routedOf(all)).toMatchObject([
      {
        model: LOCAL,
        attempt: 2,
        degradation: { dependency: REMOTE, failure: { code: Status.UNAVAILABLE, reason: "UPSTREAM_FAILED" } },
      },
    ]);
    expect(textOf(all)).toBe("hello there");
    expect(endOf(all).usage?.calls).toBe(2);
  });

  test("model_that_accepted_and_sent_no_token_gives_way_too", async () => {
    endpoint.complete = begin;
    const all = await events(ask(model("hasty-token/gpt-z", LOCAL)));
    expect(routedOf(all).map(({ model }) => model)).toEqual(["hasty-token/gpt-z", LOCAL]);
  });

  test("model_that_fails_after_a_token_does_not", async () => {
    endpoint.complete = (response) => {
      begin(response);
      send(response, content("half an ans"));
      setImmediate(() => response.destroy());
    };
    expect(await failure(ask(model(REMOTE, LOCAL)))).toMatchObject({ metadata: { status: "broken_stream" } });
    expect(inference.requests).toEqual([]);
  });

  test("last_failure_is_the_answer", async () => {
    endpoint.complete = (response) => refuse(response, 500);
    inference.chat = async function* () {
      yield* [];
      throw new Error("broken");
    };
    expect((await failure(ask(model(LOCAL, REMOTE)))).metadata).toMatchObject({ status: "500" });
  });
});

describe("choice", () => {
  test("model_unknown_is_not_found", async () => {
    expect(await failure(ask(model("cloud/nothing")))).toMatchObject({
      code: Status.NOT_FOUND,
      metadata: { resource: "model", name: "cloud/nothing" },
    });
  });

  test("field_that_a_model_cannot_honour_is_not_dropped", async () => {
    expect(await failure(ask({ sampling: { topK: 5 }, ...model(REMOTE) }))).toMatchObject({
      code: Status.FAILED_PRECONDITION,
      reason: "NO_CANDIDATE",
      metadata: { requirement: expect.stringContaining("does not take topK") },
    });
    expect(endpoint.seen).toEqual([]);
  });

  test("requirements_choose_among_models", async () => {
    const requirements = { capabilities: [Capability.CAPABILITY_VISION], prefer: Preference.PREFERENCE_COST };
    const all = await events(ask({ route: { target: { $case: "requirements", value: requirements }, fallbacks: [] } }));
    expect(routedOf(all)[0]?.model).toBe(REMOTE);
    const cheap = { ...requirements, maxCostMicroUsd: 1n };
    expect(
      await failure(ask({ route: { target: { $case: "requirements", value: cheap }, fallbacks: [] } })),
    ).toMatchObject({ reason: "NO_CANDIDATE" });
  });

  test("list_has_every_model_with_what_the_last_calls_were_like", async () => {
    endpoint.complete = (response) => refuse(response, 500);
    await failure(ask(model(REMOTE)));
    await events(ask(model(LOCAL)));
    const { models } = await router.listModels({});
    expect(models.map(({ name }) => name)).toEqual([REMOTE, "cloud/gpt-y", ...HASTY_MODELS, LOCAL]);
    expect(models[0]).toMatchObject({ upstream: "cloud", available: true, errorRate: 1, contextTokens: 100_000 });
    expect(models[0]?.medianTimeToFirstToken).toBeUndefined();
    expect(models.at(-1)).toMatchObject({ upstream: "ml-inference", errorRate: 0 });
    expect(models.at(-1)?.medianTimeToFirstToken).toBeDefined();
    const { models: seeing } = await router.listModels({ capabilities: [Capability.CAPABILITY_VISION] });
    expect(seeing.map(({ name }) => name)).toEqual([REMOTE]);
  });

  test("routing_tells_the_order_and_why_without_calling", async () => {
    const { candidates } = await router.getRouting({
      ...model("cloud/gpt-y", LOCAL),
      inputTokens: 1_000_000,
      maxOutputTokens: 1_000_000 / 8,
    });
    expect(candidates.map(({ model, eligible }) => [model?.name, eligible])).toEqual([
      ["cloud/gpt-y", true],
      [LOCAL, true],
      [REMOTE, false],
      ...HASTY_MODELS.map((name) => [name, false]),
    ]);
    expect(candidates[0]?.expectedCostMicroUsd).toBe(2n);
    expect(candidates[0]?.reasons[0]).toBe("named by the route");
    expect(candidates[2]?.reasons[0]).toBe("not named by the route");
    expect(endpoint.seen).toEqual([]);
  });
});

test("usage_without_an_event_log_is_not_known", async () => {
  expect(await failureOf((options) => router.getUsage({}, options))).toMatchObject({
    code: Status.UNAVAILABLE,
    metadata: { dependency: "nats" },
  });
});

test("budget_without_an_event_log_is_refused_and_not_ignored", async () => {
  const request = { requestId: "r", budgetId: "b", period: 1, maxTokens: 1n } as const;
  expect(await failureOf((options) => router.setBudget(request, options))).toMatchObject({ code: Status.UNAVAILABLE });
});
