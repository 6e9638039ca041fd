/** Why an answer ended, in OpenAI's words. */
export type FinishReason = "stop" | "length" | "tool_calls" | "content_filter";

export interface CompletionUsage {
  readonly inputTokens: number;
  readonly cachedInputTokens: number;
  readonly outputTokens: number;
  readonly reasoningTokens: number;
}

export interface TokenLogprob {
  readonly bytes: Uint8Array;
  readonly logprob: number;
  readonly alternatives: readonly Omit<TokenLogprob, "alternatives">[];
}

/** What an answer is made of, whoever makes it. */
export type CompletionEvent =
  | { readonly kind: "text"; readonly text: string; readonly logprobs: readonly TokenLogprob[] }
  | { readonly kind: "tool_call"; readonly id: string; readonly name: string; readonly argumentsJson: string }
  /** Something happened of which a client of OpenAI's API has no word. */
  | { readonly kind: "progress"; readonly what: string }
  | { readonly kind: "end"; readonly finishReason: FinishReason; readonly usage: CompletionUsage };

/** What every message of an answer has. */
export interface CompletionHead {
  readonly id: string;
  /** Unix time in seconds. */
  readonly created: number;
  readonly model: string;
}

/** The whole answer, as JSON. @throws whatever the events throw */
export async function wholeCompletion(head: CompletionHead, events: AsyncIterable<CompletionEvent>): Promise<object> {
  let content = "";
  const logprobs: object[] = [];
  const calls: object[] = [];
  for await (const event of events) {
    switch (event.kind) {
      case "text":
        content += event.text;
        logprobs.push(...event.logprobs.map(logprobOf));
        break;
      case "tool_call":
        calls.push(callOf(event));
        break;
      case "progress":
        break;
      case "end":
        return {
          ...head,
          object: "chat.completion",
          choices: [
            {
              index: 0,
              message: {
                role: "assistant",
                content: content === "" && calls.length > 0 ? null : content,
                refusal: null,
                ...(calls.length > 0 ? { tool_calls: calls } : {}),
              },
              logprobs: logprobs.length > 0 ? { content: logprobs, refusal: null } : null,
              finish_reason: event.finishReason,
            },
          ],
          usage: usageOf(event.usage),
        };
    }
  }
  throw new Error("the answer has no end");
}

/**
 * The answer as the data of server-sent events, `[DONE]` included; a comment where there is progress and nothing to say.
 *
 * @throws whatever the events throw
 */
export async function* completionStream(
  head: CompletionHead,
  events: AsyncIterable<CompletionEvent>,
  includeUsage: boolean,
): AsyncGenerator<{ readonly data: object | "[DONE]" } | { readonly comment: string }> {
  const chunk = (choices: object[], usage: object | null = null) => ({
    data: { ...head, object: "chat.completion.chunk", choices, ...(includeUsage ? { usage } : {}) },
  });
  const choice = (delta: object, finishReason: FinishReason | null = null, logprobs: object | null = null) =>
    chunk([{ index: 0, delta, logprobs, finish_reason: finishReason }]);
  let calls = 0;
  yield choice({ role: "assistant", content: "" });
  for await (const event of events) {
    switch (event.kind) {
      case "text": {
        const logprobs = event.logprobs.length > 0 ? { content: event.logprobs.map(logprobOf), refusal: null } : null;
        yield choice({ content: event.text }, null, logprobs);
        break;
      }
      case "tool_call":
        yield choice({ tool_calls: [{ index: calls++, ...callOf(event) }] });
        break;
      case "progress":
        yield { comment: event.what };
        break;
      case "end":
        yield choice({}, event.finishReason);
        if (includeUsage) yield chunk([], usageOf(event.usage));
    }
  }
  yield { data: "[DONE]" };
}

function callOf({ id, name, argumentsJson }: Extract<CompletionEvent, { kind: "tool_call" }>): object {
  return { id, type: "function", function: { name, arguments: argumentsJson } };
}

function usageOf({ inputTokens, cachedInputTokens, outputTokens, reasoningTokens }: CompletionUsage): object {
  return {
    prompt_tokens: inputTokens,
    completion_tokens: outputTokens,
    total_tokens: inputTokens + outputTokens,
    prompt_tokens_details: { cached_tokens: cachedInputTokens },
    completion_tokens_details: { reasoning_tokens: reasoningTokens },
  };
}

function logprobOf({ bytes, logprob, alternatives }: TokenLogprob): object {
  const of = (each: Omit<TokenLogprob, "alternatives">) => ({
    token: Buffer.from(each.bytes).toString("utf8"),
    logprob: each.logprob,
    bytes: [...each.bytes],
  });
  return { ...of({ bytes, logprob }), top_logprobs: alternatives.map(of) };
}
