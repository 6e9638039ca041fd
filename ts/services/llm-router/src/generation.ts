// The vocabulary of `uait.types.v1` that every model speaks, under which this service works too: a second set of the same
// types would be converted to and fro for each token.
export {
  type ChatMessage,
  type ChatMessage_Part,
  FinishReason,
  type OutputConstraint,
  Role,
  type Sampling,
  type TextDelta,
  type TokenLogprob,
  type Tool,
  type ToolCall,
  type ToolChoice,
  ToolChoice_Mode,
} from "@uait/gen/uait/types/v1/generation.js";

import type {
  ChatMessage,
  FinishReason,
  OutputConstraint,
  Sampling,
  TextDelta,
  Tool,
  ToolCall,
  ToolChoice,
} from "@uait/gen/uait/types/v1/generation.js";

/** What a model is asked, whichever it is. */
export interface Generation {
  readonly messages: readonly ChatMessage[];
  readonly tools: readonly Tool[];
  readonly toolChoice: ToolChoice | undefined;
  readonly sampling: Sampling | undefined;
  readonly constraint: OutputConstraint | undefined;
  /** Alternatives to report for each token; 0 reports no log probabilities. */
  readonly logprobs: number;
}

/** Tokens of one call, as its upstream counted them. */
export interface TokenCounts {
  readonly inputTokens: number;
  /** Of these, the cached ones. */
  readonly cachedInputTokens: number;
  readonly outputTokens: number;
  /** Of these, those of hidden thought. */
  readonly reasoningTokens: number;
}

export const NO_TOKENS: TokenCounts = {
  inputTokens: 0,
  cachedInputTokens: 0,
  outputTokens: 0,
  reasoningTokens: 0,
};

/** What an upstream says while it generates. */
export type UpstreamEvent =
  /** It took the call; the first event. */
  | { readonly kind: "accepted" }
  | { readonly kind: "delta"; readonly delta: TextDelta }
  | { readonly kind: "tool_call"; readonly call: ToolCall }
  | UpstreamEnd;

/** The last event. */
export interface UpstreamEnd {
  readonly kind: "end";
  readonly finishReason: FinishReason;
  /** The stop text that ended it; empty for none, or when the upstream does not tell. */
  readonly stop: string;
  /** `undefined` when the upstream does not tell. */
  readonly tokens: TokenCounts | undefined;
}

/**
 * About how many tokens a request's input has, for choosing and for what no upstream counts: four bytes a token, and 1,000
 * tokens an image.
 */
export function estimateInputTokens({ messages, tools }: Pick<Generation, "messages" | "tools">): number {
  let bytes = 0;
  let images = 0;
  for (const { parts } of messages) {
    for (const { content } of parts) {
      if (content?.$case === "image") images++;
      else if (content?.$case === "text") bytes += Buffer.byteLength(content.value);
      else if (content?.$case === "toolCall") bytes += Buffer.byteLength(content.value.argumentsJson);
      else if (content?.$case === "toolResult") bytes += Buffer.byteLength(content.value.text);
    }
  }
  for (const tool of tools) bytes += Buffer.byteLength(tool.description) + Buffer.byteLength(tool.parametersJsonSchema);
  return Math.ceil(bytes / 4) + images * 1000;
}
