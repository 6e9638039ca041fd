import { describe, expect, test } from "vitest";
import type { UpstreamEvent } from "./generation.js";
import { BrokenStream, MalformedStream, ReportedError, readChatStream } from "./openai-stream.js";

const CHUNK = (delta: object, finish: string | null = null) => ({
  choices: [{ index: 0, delta, finish_reason: finish }],
});
const event = (value: object | string) => `data: ${typeof value === "string" ? value : JSON.stringify(value)}\n\n`;

async function read(text: string | Uint8Array, pieceBytes = 1_000_000): Promise<UpstreamEvent[]> {
  const bytes = typeof text === "string" ? new TextEncoder().encode(text) : text;
  async function* pieces() {
    for (let at = 0; at < bytes.length; at += pieceBytes) yield bytes.subarray(at, at + pieceBytes);
  }
  const events: UpstreamEvent[] = [];
  for await (const each of readChatStream(pieces())) events.push(each);
  return events;
}

const text = (events: readonly UpstreamEvent[]) =>
  events.map((each) => (each.kind === "delta" ? each.delta.text : "")).join("");

const WHOLE = [
  ": a comment\n\n",
  event(CHUNK({ role: "assistant", content: "" })),
  event(CHUNK({ content: "héllo " })),
  event(CHUNK({ content: "wörld 🌍" })),
  event(CHUNK({}, "stop")),
  event({
    choices: [],
    usage: {
      prompt_tokens: 9,
      completion_tokens: 4,
      prompt_tokens_details: { cached_tokens: 3 },
      completion_tokens_details: { reasoning_tokens: 1 },
    },
  }),
  event("[DONE]"),
].join("");

describe("stream", () => {
  test.for([1, 2, 3, 7, 64, 100_000])("stream_cut_into_pieces_of_%d_bytes_reads_the_same", async (size) => {
    const events = await read(WHOLE, size);
    expect(text(events)).toBe("héllo wörld 🌍");
    expect(events.at(-1)).toEqual({
      kind: "end",
      finishReason: 1,
      stop: "",
      tokens: { inputTokens: 9, cachedInputTokens: 3, outputTokens: 4, reasoningTokens: 1 },
    });
  });

  test("stream_with_crlf_and_data_of_several_lines_reads_the_same", async () => {
    const lines = WHOLE.replaceAll("\n", "\r\n").replace('data: {"choices":[{', 'data: {"choices":[\r\ndata: {');
    expect(text(await read(lines))).toBe("héllo wörld 🌍");
  });

  test("stream_without_done_or_final_newline_ends_with_its_finish_reason", async () => {
    const events = await read(event(CHUNK({ content: "a" })) + event(CHUNK({}, "length")).trimEnd());
    expect(events.at(-1)).toMatchObject({ kind: "end", finishReason: 2, tokens: undefined });
  });

  test("choices_beyond_the_first_are_not_the_answer", async () => {
    const other = { choices: [{ index: 1, delta: { content: "no" }, finish_reason: null }] };
    expect(text(await read(event(other) + event(CHUNK({ content: "yes" }, "stop"))))).toBe("yes");
  });

  test("logprobs_come_with_their_alternatives", async () => {
    const content = [{ token: "a", logprob: -0.5, bytes: [97], top_logprobs: [{ token: "b", logprob: 0.1 }] }];
    const chunk = { choices: [{ index: 0, delta: { content: "a" }, logprobs: { content }, finish_reason: "stop" }] };
    const [delta] = await read(event(chunk));
    expect(delta).toMatchObject({
      delta: { tokens: 1, logprobs: [{ token: Uint8Array.of(97), logprob: -0.5, alternatives: [{ logprob: 0 }] }] },
    });
  });

  test("parallel_tool_calls_come_in_order_each_whole", async () => {
    const piece = (index: number, rest: object) => event(CHUNK({ tool_calls: [{ index, ...rest }] }));
    const events = await read(
      piece(0, { id: "x", function: { name: "f", arguments: "" } }) +
        piece(1, { function: { name: "g", arguments: "{" } }) +
        piece(0, { function: { arguments: '{"a":1}' } }) +
        piece(1, { function: { arguments: "}" } }) +
        event(CHUNK({}, "tool_calls")),
    );
    expect(events.map((each) => (each.kind === "tool_call" ? each.call : each.kind))).toEqual([
      { toolCallId: "x", name: "f", argumentsJson: '{"a":1}' },
      { toolCallId: "call_1", name: "g", argumentsJson: "{}" },
      "end",
    ]);
  });
});

describe("failure", () => {
  test.for([
    ["no_json", event("{nope"), MalformedStream],
    ["another_form", event({ choices: "none" }), MalformedStream],
    ["no_finish_reason", event(CHUNK({ content: "a" })) + event("[DONE]"), MalformedStream],
    ["a_nameless_tool_call", event(CHUNK({ tool_calls: [{ index: 0 }] }, "tool_calls")), MalformedStream],
    ["an_early_end", event(CHUNK({ content: "a" })), BrokenStream],
    ["nothing", "", BrokenStream],
    ["a_reported_error", event({ error: { message: "overloaded" } }), ReportedError],
  ] as const)("stream_of_%s_fails", async ([, body, kind]) => {
    await expect(read(body)).rejects.toThrow(kind);
  });

  test("stream_of_invalid_utf8_fails", async () => {
    await expect(read(Uint8Array.of(0x64, 0xff, 0xfe))).rejects.toThrow(MalformedStream);
  });

  test("event_without_end_fails_before_memory_does", async () => {
    await expect(read(`data: ${"x".repeat(5 * 1024 * 1024)}`, 65_536)).rejects.toThrow(MalformedStream);
  });
});
