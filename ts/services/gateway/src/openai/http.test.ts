import { FinishReason, Role } from "@uait/gen/uait/types/v1/generation.js";
import { type RunningServer, Status, StatusError } from "@uait/kit";
import { waitUntil } from "@uait/kit/testing";
import { ServerError } from "nice-grpc";
import OpenAI, { APIError, BadRequestError, NotFoundError, PermissionDeniedError, RateLimitError } from "openai";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { testGateway } from "../testing/gateway.js";
import { end, FakeMesh, runOf, words } from "../testing/mesh.js";

let mesh: FakeMesh;
let server: RunningServer;
beforeAll(async () => {
  mesh = await FakeMesh.start();
  server = await testGateway({ UAIT_MESH: mesh.address });
});
afterAll(async () => {
  await server.drain();
  await mesh.stop();
});
beforeEach(() => {
  mesh.generate = () => words("hello", " there");
  mesh.run = () => runOf("42");
});
afterEach(() => {
  for (const seen of [mesh.generates, mesh.runs, mesh.contexts]) seen.length = 0;
});

const url = (path: string) => `http://${server.httpAddress}${path}`;
/** OpenAI's own client; the identity is what Envoy makes of its key. */
const client = (scopes = "llm-router.write orchestrator.write", tenant = "acme") =>
  new OpenAI({
    apiKey: "a-key",
    baseURL: url("/v1"),
    maxRetries: 0,
    defaultHeaders: { "x-uait-tenant": tenant, "x-uait-subject": "user:1", "x-uait-scopes": scopes },
  });
const MODEL = "smollm2-135m-instruct";
const messages = [{ role: "user" as const, content: "Hello?" }];

describe("completion", () => {
  test("plain_answer_comes_whole_with_usage", async () => {
    const answer = await client().chat.completions.create({ model: MODEL, messages });
    expect(answer).toMatchObject({
      object: "chat.completion",
      model: MODEL,
      choices: [
        { index: 0, message: { role: "assistant", content: "hello there", refusal: null }, finish_reason: "stop" },
      ],
      usage: {
        prompt_tokens: 7,
        completion_tokens: 3,
        total_tokens: 10,
        prompt_tokens_details: { cached_tokens: 2 },
        completion_tokens_details: { reasoning_tokens: 1 },
      },
    });
    expect(answer.id).toMatch(/^chatcmpl-/);
    expect(mesh.contexts[0]?.metadata.get("x-uait-tenant")).toBe("acme");
    expect(mesh.contexts[0]?.metadata.get("x-uait-subject")).toBe("user:1");
  });

  test("streamed_answer_comes_in_pieces_with_usage_where_it_was_asked_for", async () => {
    const read = async (include_usage: boolean) => {
      const stream = await client().chat.completions.create({
        model: MODEL,
        messages,
        stream: true,
        stream_options: { include_usage },
      });
      const chunks = [];
      for await (const chunk of stream) chunks.push(chunk);
      return chunks;
    };
    const chunks = await read(true);
    expect(chunks.map(({ choices: [choice] }) => choice?.delta.content ?? choice?.finish_reason)).toEqual([
      "",
      "hello",
      " there",
      "stop",
      undefined,
    ]);
    expect(chunks[0]?.choices[0]?.delta.role).toBe("assistant");
    expect(chunks.at(-1)).toMatchObject({ choices: [], usage: { total_tokens: 10 } });
    expect(new Set(chunks.map(({ id }) => id)).size).toBe(1);
    expect((await read(false)).some((chunk) => "usage" in chunk)).toBe(false);
  });

  test("stream_on_the_wire_is_server_sent_events_that_end_with_done", async () => {
    const response = await fetch(url("/v1/chat/completions"), {
      method: "POST",
      headers: { "content-type": "application/json", "x-uait-tenant": "acme", "x-uait-scopes": "mesh.admin" },
      body: JSON.stringify({ model: MODEL, messages, stream: true }),
    });
    expect(response.headers.get("content-type")).toBe("text/event-stream; charset=utf-8");
    const text = await response.text();
    expect(text.endsWith("data: [DONE]\n\n")).toBe(true);
    for (const line of text.split("\n")) expect(line).toMatch(/^($|: |data: )/);
  });

  test("options_reach_the_router", async () => {
    await client().chat.completions.create({
      model: MODEL,
      messages: [
        { role: "developer", content: "be kind" },
        {
          role: "user",
          content: [
            { type: "text", text: "see" },
            { type: "image_url", image_url: { url: "data:image/png;base64,iVBO" } },
          ],
        },
        { role: "assistant", tool_calls: [{ id: "c1", type: "function", function: { name: "f", arguments: "{}" } }] },
        { role: "tool", tool_call_id: "c1", content: "2" },
      ],
      temperature: 0,
      top_p: 0.5,
      seed: -1,
      stop: "END",
      max_completion_tokens: 9,
      response_format: { type: "json_schema", json_schema: { name: "a", schema: { type: "object" } } },
      tools: [{ type: "function", function: { name: "f", parameters: { type: "object" } } }],
      tool_choice: { type: "function", function: { name: "f" } },
      logprobs: true,
      top_logprobs: 3,
      n: 1,
    });
    expect(mesh.generates[0]).toMatchObject({
      messages: [
        { role: Role.ROLE_SYSTEM, parts: [{ content: { value: "be kind" } }] },
        { role: Role.ROLE_USER, parts: [{ content: { value: "see" } }, { content: { $case: "image" } }] },
        { role: Role.ROLE_ASSISTANT, parts: [{ content: { $case: "toolCall", value: { name: "f" } } }] },
        { role: Role.ROLE_TOOL, parts: [{ content: { $case: "toolResult", value: { toolCallId: "c1", text: "2" } } }] },
      ],
      sampling: { temperature: 0, topP: 0.5, seed: 2n ** 64n - 1n, stop: ["END"], maxOutputTokens: 9 },
      constraint: { form: { $case: "jsonSchema", value: '{"type":"object"}' } },
      tools: [{ name: "f", parametersJsonSchema: '{"type":"object"}' }],
      toolChoice: { choice: { $case: "tool", value: "f" } },
      logprobs: 3,
      route: { target: { $case: "model", value: MODEL } },
    });
  });

  test("tool_calls_come_as_openais_whole_and_streamed", async () => {
    mesh.generate = async function* () {
      for (const id of ["c1", "c2"])
        yield { event: { $case: "toolCall", value: { toolCallId: id, name: "f", argumentsJson: '{"a":1}' } } };
      yield end(FinishReason.FINISH_REASON_TOOL_CALLS);
    };
    const answer = await client().chat.completions.create({ model: MODEL, messages });
    expect(answer.choices[0]).toMatchObject({
      finish_reason: "tool_calls",
      message: {
        content: null,
        tool_calls: [{ id: "c1", function: { name: "f", arguments: '{"a":1}' } }, { id: "c2" }],
      },
    });
    const streamed = await client().chat.completions.stream({ model: MODEL, messages }).finalChatCompletion();
    expect(streamed.choices[0]?.message.tool_calls).toMatchObject([{ id: "c1" }, { id: "c2" }]);
  });

  test("caller_that_goes_ends_the_call_of_the_router", async () => {
    let ended = false;
    mesh.generate = async function* (_, { signal }) {
      signal.addEventListener("abort", () => {
        ended = true;
      });
      yield { event: { $case: "delta", value: { text: "a", tokens: 1 } } };
      await new Promise((resolve) => signal.addEventListener("abort", resolve));
    };
    const stream = await client().chat.completions.create({ model: MODEL, messages, stream: true });
    for await (const chunk of stream) if (chunk.choices[0]?.delta.content === "a") break;
    await waitUntil("the router's call ended", () => ended, 2000);
  });
});

describe("orchestrator", () => {
  test("model_uait_orchestrator_is_a_run_whose_answer_is_the_answer", async () => {
    const answer = await client().chat.completions.create({
      model: "uait-orchestrator",
      messages: [{ role: "system", content: "be brief" }, ...messages],
      response_format: { type: "json_object" },
      max_tokens: 5,
    });
    expect(answer).toMatchObject({
      choices: [{ message: { content: "42" }, finish_reason: "stop" }],
      usage: { total_tokens: 10 },
    });
    expect(mesh.runs).toMatchObject([
      {
        task: "Hello?",
        instructions: "be brief",
        output: { form: { $case: "json" } },
        sampling: { maxOutputTokens: 5 },
      },
    ]);
  });

  test("conversation_becomes_its_transcript_and_the_run_shows_as_comments", async () => {
    const stream = await client()
      .chat.completions.create({
        model: "uait-orchestrator",
        messages: [...messages, { role: "assistant", content: "Yes?" }, { role: "user", content: "Bye." }],
        stream: true,
      })
      .asResponse();
    const text = await stream.text();
    expect(text).toContain(": attempt n1 scored 0.500\n\n");
    expect(text).toContain('"content":"42"');
    expect(mesh.runs[0]?.task).toBe("User: Hello?\n\nAssistant: Yes?\n\nUser: Bye.");
  });

  test("what_a_run_has_not_is_refused", async () => {
    const asked = client().chat.completions.create({
      model: "uait-orchestrator",
      messages,
      tools: [{ type: "function", function: { name: "f" } }],
    });
    await expect(asked).rejects.toMatchObject({ status: 400, code: "unsupported_parameter", param: "tools" });
  });
});

test("reasoning_effort_is_how_many_attempts_a_run_may_make_and_no_models", async () => {
  const create = (model: string, reasoning_effort: "low" | "high") =>
    client().chat.completions.create({ model, messages, reasoning_effort });
  await create("uait-orchestrator", "low");
  await create("uait-orchestrator", "high");
  expect(mesh.runs.map(({ budget }) => budget?.maxNodes)).toEqual([4, 64]);
  await expect(create(MODEL, "low")).rejects.toMatchObject({
    status: 400,
    code: "unsupported_parameter",
    param: "reasoning_effort",
  });
});

describe("refusal", () => {
  const create = (over: object = {}, as = client()) =>
    as.chat.completions.create({ model: MODEL, messages, ...over } as Parameters<typeof as.chat.completions.create>[0]);

  test.for([
    ["n", { n: 2 }, "invalid_value", "n"],
    ["an_unknown_field", { colour: "red" }, "unsupported_parameter", "colour"],
    ["no_messages", { messages: [] }, "invalid_value", "messages"],
    ["temperature", { temperature: 3 }, "invalid_value", "temperature"],
    [
      "an_image_elsewhere",
      { messages: [{ role: "user", content: [{ type: "image_url", image_url: { url: "https://x/y.png" } }] }] },
      "invalid_value",
      "messages.0.content.0.image_url.url",
    ],
  ] as [string, object, string, string][])("body_with_%s_is_a_bad_request", async ([, over, code, param]) => {
    const error = await create(over).then(
      () => undefined,
      (cause: unknown) => cause,
    );
    expect(error).toBeInstanceOf(BadRequestError);
    expect(error).toMatchObject({ status: 400, type: "invalid_request_error", code, param });
    expect(mesh.generates).toEqual([]);
  });

  const failing = (error: StatusError) => {
    mesh.generate = async function* (_, context) {
      context.trailer.set("grpc-status-details-bin", Buffer.from(error.details() ?? []));
      yield* [];
      throw new ServerError(error.code, error.message);
    };
  };
  const status = (code: StatusError["code"], reason: StatusError["reason"], metadata = {}, retryAfterMs?: number) =>
    StatusError.of({ code, reason: reason as never, message: "no", metadata, retryAfterMs });

  test.for([
    ["model", Status.NOT_FOUND, "RESOURCE_NOT_FOUND", { resource: "model", name: "x" }, 404, "model_not_found"],
    ["budget", Status.RESOURCE_EXHAUSTED, "BUDGET_EXHAUSTED", {}, 429, "insufficient_quota"],
    ["length", Status.INVALID_ARGUMENT, "INPUT_TOO_LONG", {}, 400, "context_length_exceeded"],
    ["upstream", Status.UNAVAILABLE, "UPSTREAM_FAILED", {}, 503, "upstream_failed"],
    ["candidate", Status.FAILED_PRECONDITION, "NO_CANDIDATE", {}, 400, "no_candidate"],
    ["fault", Status.INTERNAL, "INTERNAL", {}, 500, "internal"],
  ] as const)("error_of_the_router_%s_keeps_its_reason", async ([, code, reason, metadata, http, word]) => {
    failing(status(code, reason, metadata));
    for (const stream of [false, true])
      await expect(create({ stream })).rejects.toMatchObject({ status: http, code: word });
  });

  test("budget_that_is_spent_says_when_to_come_back", async () => {
    failing(status(Status.RESOURCE_EXHAUSTED, "BUDGET_EXHAUSTED", {}, 1500));
    const error = (await create().catch((cause: unknown) => cause)) as RateLimitError;
    expect(error).toBeInstanceOf(RateLimitError);
    expect(error.headers.get("retry-after")).toBe("2");
  });

  test("error_after_the_first_piece_is_an_event_that_the_client_throws", async () => {
    mesh.generate = async function* () {
      yield { event: { $case: "delta", value: { text: "a", tokens: 1 } } };
      throw new ServerError(Status.UNAVAILABLE, "gone");
    };
    const stream = await client().chat.completions.create({ model: MODEL, messages, stream: true });
    const read = async () => {
      for await (const _ of stream);
    };
    await expect(read()).rejects.toThrow(APIError);
  });

  test("scope_missing_is_named_before_anybody_is_called", async () => {
    const error = await create({}, client("memory.write")).catch((cause: unknown) => cause);
    expect(error).toBeInstanceOf(PermissionDeniedError);
    expect(error).toMatchObject({ code: "scope_missing", message: expect.stringContaining("llm-router.write") });
    await expect(create({ model: "uait-orchestrator" }, client("llm-router.write"))).rejects.toMatchObject({
      message: expect.stringContaining("orchestrator.write"),
    });
    expect([...mesh.generates, ...mesh.runs]).toEqual([]);
  });

  test("tenant_missing_is_unauthenticated", async () => {
    await expect(create({}, client("mesh.admin", ""))).rejects.toMatchObject({ status: 401, code: "tenant_missing" });
  });

  test("path_and_json_that_are_none_are_told_in_the_same_shape", async () => {
    const nowhere = await fetch(url("/v1/nowhere"));
    expect([nowhere.status, await nowhere.json()]).toMatchObject([404, { error: { type: "invalid_request_error" } }]);
    const broken = await fetch(url("/v1/chat/completions"), {
      method: "POST",
      headers: { "content-type": "application/json", "x-uait-tenant": "acme" },
      body: "{nope",
    });
    expect([broken.status, await broken.json()]).toMatchObject([400, { error: { type: "invalid_request_error" } }]);
  });
});

describe("models", () => {
  test("list_has_the_routers_models_and_the_orchestrator", async () => {
    const page = await client().models.list();
    expect(page.data.map(({ id, owned_by }) => [id, owned_by])).toEqual([
      ["cloud/gpt-x", "cloud"],
      [MODEL, "ml-inference"],
      ["uait-orchestrator", "orchestrator"],
    ]);
    const readable = await client("llm-router.read").models.list();
    expect(readable.data.map(({ id }) => id)).toEqual(["cloud/gpt-x", MODEL]);
  });

  test("model_is_had_by_its_name_slashes_and_all", async () => {
    expect(await client().models.retrieve("cloud/gpt-x")).toMatchObject({ id: "cloud/gpt-x", object: "model" });
    await expect(client().models.retrieve("nothing")).rejects.toThrow(NotFoundError);
  });
});
