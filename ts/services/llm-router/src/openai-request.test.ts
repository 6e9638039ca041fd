import { ChatMessage, type OutputConstraint, Sampling, type ToolChoice } from "@uait/gen/uait/types/v1/generation.js";
import { describe, expect, test } from "vitest";
import { type Generation, Role, ToolChoice_Mode } from "./generation.js";
import { FREE, type Model } from "./model.js";
import { openAiBody } from "./openai-request.js";

const MODEL: Model = {
  name: "cloud/gpt-x",
  upstreamName: "gpt-x",
  upstream: "cloud",
  capabilities: new Set(),
  contextTokens: 0,
  price: FREE,
  extensions: new Set(),
  maxStops: 4,
};
type Parts = NonNullable<Parameters<typeof ChatMessage.fromPartial>[0]["parts"]>;
const message = (role: Role, parts: Parts, name = "") => ChatMessage.fromPartial({ role, parts, name });
const text = (value: string) => ({ content: { $case: "text" as const, value } });
const body = (over: Partial<Generation> = {}) =>
  openAiBody(
    MODEL,
    {
      messages: [message(Role.ROLE_USER, [text("hi")])],
      tools: [],
      toolChoice: undefined,
      sampling: undefined,
      constraint: undefined,
      logprobs: 0,
      ...over,
    },
    "max_completion_tokens",
  );

describe("messages", () => {
  test("plain_request_says_nothing_that_was_not_asked", () => {
    expect(body()).toEqual({
      model: "gpt-x",
      messages: [{ role: "user", content: "hi" }],
      stream: true,
      stream_options: { include_usage: true },
    });
  });

  test("conversation_with_tools_and_images_keeps_its_order", () => {
    const png = Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 1);
    const call = { toolCallId: "c1", name: "f", argumentsJson: '{"a":1}' };
    const messages = [
      message(Role.ROLE_SYSTEM, [text("be "), text("kind")]),
      message(Role.ROLE_USER, [text("see"), { content: { $case: "image", value: { data: png } } }], "ann"),
      message(Role.ROLE_ASSISTANT, [{ content: { $case: "toolCall", value: call } }]),
      message(Role.ROLE_TOOL, [
        { content: { $case: "toolResult", value: { toolCallId: "c1", text: "2" } } },
        { content: { $case: "toolResult", value: { toolCallId: "c2", text: "no", failed: true } } },
      ]),
    ];
    expect(body({ messages })["messages"]).toEqual([
      { role: "system", content: "be kind" },
      {
        role: "user",
        name: "ann",
        content: [
          { type: "text", text: "see" },
          { type: "image_url", image_url: { url: "data:image/png;base64,iVBORwE=" } },
        ],
      },
      {
        role: "assistant",
        content: null,
        tool_calls: [{ id: "c1", type: "function", function: { name: "f", arguments: '{"a":1}' } }],
      },
      { role: "tool", tool_call_id: "c1", content: "2" },
      { role: "tool", tool_call_id: "c2", content: "error: no" },
    ]);
  });
});

describe("options", () => {
  test("sampling_is_named_as_openai_names_it", () => {
    const sampling = Sampling.fromPartial({
      temperature: 0,
      topP: 0.5,
      seed: 2n ** 63n + 5n,
      frequencyPenalty: 1,
      presencePenalty: -1,
      stop: ["a"],
      maxOutputTokens: 7,
      topK: 3,
      minP: 0.1,
      repeatPenalty: 1.1,
    });
    expect(body({ sampling })).toMatchObject({
      temperature: 0,
      top_p: 0.5,
      seed: 5,
      frequency_penalty: 1,
      presence_penalty: -1,
      stop: ["a"],
      max_completion_tokens: 7,
      top_k: 3,
      min_p: 0.1,
      repeat_penalty: 1.1,
    });
  });

  test("schema_becomes_a_response_format", () => {
    const of = (form: OutputConstraint["form"]) => body({ constraint: { form } })["response_format"];
    expect(of({ $case: "jsonSchema", value: '{"type":"object"}' })).toEqual({
      type: "json_schema",
      json_schema: { name: "answer", schema: { type: "object" }, strict: true },
    });
    expect(of({ $case: "json", value: true })).toEqual({ type: "json_object" });
    expect(of({ $case: "json", value: false })).toBeUndefined();
  });

  test("tools_and_choice", () => {
    const tools = [{ name: "f", description: "adds", parametersJsonSchema: '{"type":"object"}' }];
    const choose = (choice: ToolChoice["choice"]) => body({ tools, toolChoice: { choice } })["tool_choice"];
    expect(body({ tools })["tools"]).toEqual([
      { type: "function", function: { name: "f", description: "adds", parameters: { type: "object" } } },
    ]);
    expect(choose({ $case: "mode", value: ToolChoice_Mode.MODE_REQUIRED })).toBe("required");
    expect(choose({ $case: "mode", value: ToolChoice_Mode.MODE_NONE })).toBe("none");
    expect(choose({ $case: "tool", value: "f" })).toEqual({ type: "function", function: { name: "f" } });
  });

  test("schema_of_a_tool_that_is_no_json_is_named", () => {
    const tools = [{ name: "f", description: "", parametersJsonSchema: "[1]" }];
    expect(() => body({ tools })).toThrow(
      expect.objectContaining({
        failure: expect.objectContaining({ kind: "expression_invalid", field: "tools[f].parameters_json_schema" }),
      }),
    );
  });
});
