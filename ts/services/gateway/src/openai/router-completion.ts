import {
  GenerateRequest,
  type GenerateResponse,
  type LlmRouterServiceDefinition,
} from "@uait/gen/uait/llm_router/v1/llm_router.js";
import {
  type ChatMessage,
  FinishReason,
  type OutputConstraint,
  type TokenLogprob as ProtoLogprob,
  Role,
  Sampling,
  type ToolChoice,
  ToolChoice_Mode,
} from "@uait/gen/uait/types/v1/generation.js";
import type { Usage } from "@uait/gen/uait/types/v1/usage.js";
import type { MeshCallOptions, MeshClient } from "@uait/kit";
import { type ChatRequest, imageBytes, joined, type Message, ORCHESTRATOR_MODEL } from "./chat-request.js";
import type { CompletionEvent, CompletionUsage, FinishReason as Finish, TokenLogprob } from "./completion.js";
import { BadRequest } from "./error.js";

/** Answers a request by llm-router. @throws StatusError */
export async function* routerCompletion(
  router: MeshClient<typeof LlmRouterServiceDefinition>,
  request: ChatRequest,
  from: NonNullable<MeshCallOptions["from"]>,
): AsyncGenerator<CompletionEvent> {
  for await (const { event } of router.generate(generateRequest(request), { from })) {
    if (event !== undefined) yield completionEvent(event);
  }
}

/** What llm-router is asked for a body. @throws BadRequest for what a model has not */
export function generateRequest(request: ChatRequest): GenerateRequest {
  if (request.reasoning_effort)
    throw new BadRequest(
      `reasoning_effort is for ${ORCHESTRATOR_MODEL} alone`,
      "reasoning_effort",
      "unsupported_parameter",
    );
  const { model, messages, tools, tool_choice, logprobs, top_logprobs } = request;
  return GenerateRequest.fromPartial({
    messages: messages.map(chatMessage),
    tools: (tools ?? []).map(({ function: { name, description, parameters } }) => ({
      name,
      description: description ?? "",
      parametersJsonSchema: parameters === undefined ? "" : JSON.stringify(parameters),
    })),
    toolChoice: toolChoiceOf(tool_choice),
    sampling: samplingOf(request),
    constraint: constraintOf(request),
    // OpenAI may be asked for the tokens alone; ours come with the likeliest one.
    logprobs: logprobs === true ? Math.max(1, top_logprobs ?? 0) : 0,
    route: { target: { $case: "model", value: model }, fallbacks: [] },
  });
}

export function samplingOf(request: ChatRequest): Sampling {
  const { temperature, top_p, top_k, min_p, seed, stop, max_tokens, max_completion_tokens } = request;
  return Sampling.fromPartial({
    temperature: temperature ?? undefined,
    topP: top_p ?? undefined,
    topK: top_k ?? undefined,
    minP: min_p ?? undefined,
    // Theirs is signed.
    seed: seed === null || seed === undefined ? undefined : BigInt.asUintN(64, BigInt(seed)),
    frequencyPenalty: request.frequency_penalty ?? undefined,
    presencePenalty: request.presence_penalty ?? undefined,
    repeatPenalty: request.repeat_penalty ?? undefined,
    stop: typeof stop === "string" ? [stop] : (stop ?? []),
    maxOutputTokens: max_completion_tokens ?? max_tokens ?? undefined,
  });
}

export function constraintOf({ response_format }: ChatRequest): OutputConstraint | undefined {
  switch (response_format?.type) {
    case "json_schema":
      return { form: { $case: "jsonSchema", value: JSON.stringify(response_format.json_schema.schema) } };
    case "json_object":
      return { form: { $case: "json", value: true } };
    default:
      return undefined;
  }
}

const text = (value: string) => ({ content: { $case: "text" as const, value } });

function chatMessage(message: Message): ChatMessage {
  const name = "name" in message ? (message.name ?? "") : "";
  switch (message.role) {
    case "system":
    case "developer":
      return { role: Role.ROLE_SYSTEM, parts: [text(joined(message.content))], name };
    case "user": {
      const { content } = message;
      if (typeof content === "string") return { role: Role.ROLE_USER, parts: [text(content)], name };
      const parts = content.map((part) =>
        part.type === "text"
          ? text(part.text)
          : { content: { $case: "image" as const, value: { data: imageBytes(part.image_url.url) } } },
      );
      return { role: Role.ROLE_USER, parts, name };
    }
    case "assistant": {
      const calls = (message.tool_calls ?? []).map(({ id, function: call }) => ({
        content: {
          $case: "toolCall" as const,
          value: { toolCallId: id, name: call.name, argumentsJson: call.arguments },
        },
      }));
      const said = message.content ?? message.refusal ?? undefined;
      const parts = said === undefined && calls.length > 0 ? calls : [text(joined(said ?? "")), ...calls];
      return { role: Role.ROLE_ASSISTANT, parts, name };
    }
    case "tool": {
      const value = { toolCallId: message.tool_call_id, text: joined(message.content), failed: false };
      return { role: Role.ROLE_TOOL, parts: [{ content: { $case: "toolResult", value } }], name };
    }
  }
}

const MODES = {
  none: ToolChoice_Mode.MODE_NONE,
  auto: ToolChoice_Mode.MODE_AUTO,
  required: ToolChoice_Mode.MODE_REQUIRED,
} as const;

function toolChoiceOf(choice: ChatRequest["tool_choice"]): ToolChoice | undefined {
  if (choice === null || choice === undefined) return undefined;
  if (typeof choice === "string") return { choice: { $case: "mode", value: MODES[choice] } };
  return { choice: { $case: "tool", value: choice.function.name } };
}

function completionEvent(event: NonNullable<GenerateResponse["event"]>): CompletionEvent {
  switch (event.$case) {
    case "routed":
      return { kind: "progress", what: `${event.value.model} answers` };
    case "delta":
      return { kind: "text", text: event.value.text, logprobs: event.value.logprobs.map(logprobOf) };
    case "toolCall": {
      const { toolCallId, name, argumentsJson } = event.value;
      return { kind: "tool_call", id: toolCallId, name, argumentsJson };
    }
    case "end":
      return { kind: "end", finishReason: finishOf(event.value.finishReason), usage: usageOf(event.value.usage) };
  }
}

function finishOf(reason: FinishReason): Finish {
  switch (reason) {
    case FinishReason.FINISH_REASON_LENGTH:
      return "length";
    case FinishReason.FINISH_REASON_TOOL_CALLS:
      return "tool_calls";
    case FinishReason.FINISH_REASON_REFUSED:
      return "content_filter";
    default:
      return "stop";
  }
}

export function usageOf(usage: Usage | undefined): CompletionUsage {
  return {
    inputTokens: Number(usage?.inputTokens ?? 0n),
    cachedInputTokens: Number(usage?.cachedInputTokens ?? 0n),
    outputTokens: Number(usage?.outputTokens ?? 0n),
    reasoningTokens: Number(usage?.reasoningTokens ?? 0n),
  };
}

function logprobOf({ token, logprob, alternatives }: ProtoLogprob): TokenLogprob {
  return {
    bytes: token,
    logprob,
    alternatives: alternatives.map((each) => ({ bytes: each.token, logprob: each.logprob })),
  };
}
