import { createParser } from "eventsource-parser";
import { z } from "zod";
import { FinishReason, type TextDelta, type TokenCounts, type TokenLogprob, type UpstreamEvent } from "./generation.js";

/** The stream is not what `POST /chat/completions` answers. */
export class MalformedStream extends Error {
  constructor(message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = "MalformedStream";
  }
}

/** The stream ended before its answer did. */
export class BrokenStream extends Error {
  constructor() {
    super("the stream ended before its answer");
    this.name = "BrokenStream";
  }
}

/** The upstream reported an error within its stream. */
export class ReportedError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "ReportedError";
  }
}

const MAX_EVENT_CHARACTERS = 4 * 1024 * 1024;
const MAX_ARGUMENTS_BYTES = 262_144;
const TOOL_NAME = /^[A-Za-z][A-Za-z0-9_]{0,62}$/;

const count = z.number().int().nonnegative().nullish();
const alternative = z.object({
  token: z.string(),
  logprob: z.number(),
  bytes: z.array(z.number().int().min(0).max(255)).nullish(),
});
const logprob = alternative.extend({ top_logprobs: z.array(alternative).nullish() });
const toolCallPiece = z.object({
  index: z.number().int().nonnegative().default(0),
  id: z.string().nullish(),
  function: z.object({ name: z.string().nullish(), arguments: z.string().nullish() }).nullish(),
});
const chunk = z.object({
  error: z.object({ message: z.string() }).nullish(),
  choices: z
    .array(
      z.object({
        index: z.number().int().default(0),
        delta: z
          .object({
            content: z.string().nullish(),
            refusal: z.string().nullish(),
            tool_calls: z.array(toolCallPiece).nullish(),
          })
          .nullish(),
        logprobs: z.object({ content: z.array(logprob).nullish() }).nullish(),
        finish_reason: z.string().nullish(),
      }),
    )
    .nullish(),
  usage: z
    .object({
      prompt_tokens: count,
      completion_tokens: count,
      prompt_tokens_details: z.object({ cached_tokens: count }).nullish(),
      completion_tokens_details: z.object({ reasoning_tokens: count }).nullish(),
    })
    .nullish(),
});
type Chunk = z.infer<typeof chunk>;
type ToolCallPiece = z.infer<typeof toolCallPiece>;

const FINISH_REASONS: Readonly<Record<string, FinishReason>> = {
  stop: FinishReason.FINISH_REASON_STOP,
  length: FinishReason.FINISH_REASON_LENGTH,
  tool_calls: FinishReason.FINISH_REASON_TOOL_CALLS,
  function_call: FinishReason.FINISH_REASON_TOOL_CALLS,
  content_filter: FinishReason.FINISH_REASON_REFUSED,
};

/**
 * Reads the chunks of a chat completion (server-sent events whose data are JSON, the last one `[DONE]`).
 *
 * @throws MalformedStream, BrokenStream, ReportedError, or whatever the bytes throw
 */
export async function* readChatStream(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<UpstreamEvent> {
  const state = new ChatState();
  for await (const data of dataOf(bytes)) {
    if (data === "[DONE]") {
      state.done = true;
      break;
    }
    yield* state.take(parse(data));
  }
  yield* state.end();
}

async function* dataOf(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const ready: string[] = [];
  let failure: Error | undefined;
  const parser = createParser({
    maxBufferSize: MAX_EVENT_CHARACTERS,
    onEvent: ({ data }) => ready.push(data),
    onError: (error) => {
      // A line that is no field is skipped, as the standard says; a line without end is not.
      if (error.type === "max-buffer-size-exceeded") failure = new MalformedStream("an event is too large", error);
    },
  });
  const decoder = new TextDecoder("utf-8", { fatal: true });
  for await (const piece of bytes) {
    try {
      parser.feed(decoder.decode(piece, { stream: true }));
    } catch (cause) {
      throw new MalformedStream("it is not UTF-8", cause);
    }
    if (failure !== undefined) throw failure;
    yield* ready.splice(0);
  }
  // Some servers leave the last event without its empty line; one that was cut off is none.
  parser.feed("\n\n");
  yield* ready.filter((data) => data === "[DONE]" || isJson(data));
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

function parse(data: string): Chunk {
  try {
    return chunk.parse(JSON.parse(data));
  } catch (cause) {
    throw new MalformedStream("an event is no chunk of a chat completion", cause);
  }
}

interface PartialCall {
  id: string;
  name: string;
  arguments: string;
}

class ChatState {
  done = false;
  readonly #calls = new Map<number, PartialCall>();
  #finish: FinishReason | undefined;
  #tokens: TokenCounts | undefined;

  *take({ error, choices, usage }: Chunk): Generator<UpstreamEvent> {
    if (error !== null && error !== undefined) throw new ReportedError(error.message);
    if (usage !== null && usage !== undefined) this.#tokens = tokensOf(usage);
    for (const { index, delta, logprobs, finish_reason } of choices ?? []) {
      // Only one choice was asked for.
      if (index !== 0) continue;
      const text = delta?.content ?? delta?.refusal ?? "";
      if (text !== "") yield { kind: "delta", delta: deltaOf(text, logprobs?.content ?? []) };
      for (const piece of delta?.tool_calls ?? []) this.#join(piece);
      if (finish_reason === null || finish_reason === undefined) continue;
      this.#finish = FINISH_REASONS[finish_reason] ?? FinishReason.FINISH_REASON_STOP;
    }
  }

  *end(): Generator<UpstreamEvent> {
    if (this.#finish === undefined) throw this.done ? new MalformedStream("no finish_reason came") : new BrokenStream();
    for (const [index, call] of [...this.#calls].sort(([a], [b]) => a - b)) {
      if (!TOOL_NAME.test(call.name)) throw new MalformedStream(`a tool call without a valid name: ${call.name}`);
      const toolCallId = call.id === "" ? `call_${index}` : call.id;
      yield {
        kind: "tool_call",
        call: { toolCallId, name: call.name, argumentsJson: call.arguments === "" ? "{}" : call.arguments },
      };
    }
    yield { kind: "end", finishReason: this.#finish, stop: "", tokens: this.#tokens };
  }

  #join({ index, id, function: piece }: ToolCallPiece): void {
    const call = this.#calls.get(index) ?? { id: "", name: "", arguments: "" };
    call.id ||= id ?? "";
    call.name ||= piece?.name ?? "";
    call.arguments += piece?.arguments ?? "";
    if (call.arguments.length > MAX_ARGUMENTS_BYTES) throw new MalformedStream("a tool call's arguments are too large");
    this.#calls.set(index, call);
  }
}

function tokensOf(usage: NonNullable<Chunk["usage"]>): TokenCounts {
  return {
    inputTokens: usage.prompt_tokens ?? 0,
    cachedInputTokens: usage.prompt_tokens_details?.cached_tokens ?? 0,
    outputTokens: usage.completion_tokens ?? 0,
    reasoningTokens: usage.completion_tokens_details?.reasoning_tokens ?? 0,
  };
}

function deltaOf(text: string, logprobs: readonly z.infer<typeof logprob>[]): TextDelta {
  return { text, tokens: logprobs.length, logprobs: logprobs.map(logprobOf) };
}

function logprobOf(entry: z.infer<typeof logprob>): TokenLogprob {
  const of = ({ token, bytes, logprob: value }: z.infer<typeof alternative>): TokenLogprob => ({
    token: bytes === null || bytes === undefined ? new TextEncoder().encode(token) : Uint8Array.from(bytes),
    tokenId: 0,
    // OpenAI says -9999 where it does not tell, and rounding may put a certain token above zero.
    logprob: Math.min(0, value),
    alternatives: [],
  });
  return { ...of(entry), alternatives: (entry.top_logprobs ?? []).map(of) };
}
