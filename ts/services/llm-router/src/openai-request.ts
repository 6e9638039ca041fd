import { RouterError } from "./error.js";
import {
  type ChatMessage,
  type ChatMessage_Part,
  type Generation,
  type OutputConstraint,
  Role,
  type Sampling,
  type Tool,
  type ToolChoice,
  ToolChoice_Mode,
} from "./generation.js";
import type { Model } from "./model.js";

/** Name of the field that bounds the output: OpenAI's reasoning models take only the second, older servers only the first. */
export type MaxTokensField = "max_tokens" | "max_completion_tokens";

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
type JsonObject = { [key: string]: Json };

/**
 * The body of `POST /chat/completions` for a generation that the model can do (`lacking`).
 *
 * @throws RouterError for a schema that is no JSON
 */
export function openAiBody(model: Model, generation: Generation, maxTokensField: MaxTokensField): JsonObject {
  const { messages, tools, toolChoice, sampling, constraint, logprobs } = generation;
  return {
    model: model.upstreamName,
    messages: messages.flatMap(messagesOf),
    stream: true,
    stream_options: { include_usage: true },
    ...(tools.length > 0 ? { tools: tools.map(toolOf) } : {}),
    ...(toolChoice?.choice === undefined ? {} : { tool_choice: toolChoiceOf(toolChoice) }),
    ...samplingOf(sampling, maxTokensField),
    ...(constraint?.form === undefined ? {} : responseFormatOf(constraint)),
    ...(logprobs > 0 ? { logprobs: true, top_logprobs: logprobs } : {}),
  };
}

const ROLES: Readonly<Record<number, string>> = {
  [Role.ROLE_SYSTEM]: "system",
  [Role.ROLE_USER]: "user",
  [Role.ROLE_ASSISTANT]: "assistant",
  [Role.ROLE_TOOL]: "tool",
};

// A message of ours may hold several results; one of theirs holds one.
function messagesOf({ role, parts, name }: ChatMessage): JsonObject[] {
  const results = parts.flatMap(({ content }) => (content?.$case === "toolResult" ? [content.value] : []));
  const messages: JsonObject[] = results.map(({ toolCallId, text, failed }) => ({
    role: "tool",
    tool_call_id: toolCallId,
    content: failed ? `error: ${text}` : text,
  }));
  const calls = parts.flatMap(({ content }) => (content?.$case === "toolCall" ? [content.value] : []));
  const content = contentOf(parts);
  if (content === undefined && calls.length === 0) return messages;
  messages.push({
    role: ROLES[role] ?? "user",
    content: content ?? null,
    ...(name === "" ? {} : { name }),
    ...(calls.length === 0
      ? {}
      : {
          tool_calls: calls.map((call) => ({
            id: call.toolCallId,
            type: "function",
            function: { name: call.name, arguments: call.argumentsJson },
          })),
        }),
  });
  return messages;
}

// A plain string where it will do: many servers take nothing else.
function contentOf(parts: readonly ChatMessage_Part[]): Json | undefined {
  const pieces: JsonObject[] = [];
  for (const { content } of parts) {
    if (content?.$case === "text") pieces.push({ type: "text", text: content.value });
    if (content?.$case === "image") pieces.push({ type: "image_url", image_url: { url: dataUrl(content.value.data) } });
  }
  if (pieces.length === 0) return undefined;
  if (pieces.every(({ type }) => type === "text")) return pieces.map(({ text }) => text).join("");
  return pieces;
}

const SIGNATURES: readonly [string, readonly number[]][] = [
  ["image/jpeg", [0xff, 0xd8, 0xff]],
  ["image/png", [0x89, 0x50, 0x4e, 0x47]],
  ["image/gif", [0x47, 0x49, 0x46, 0x38]],
  ["image/webp", [0x52, 0x49, 0x46, 0x46]],
  ["image/bmp", [0x42, 0x4d]],
];

function dataUrl(data: Uint8Array): string {
  const found = SIGNATURES.find(([, bytes]) => bytes.every((byte, index) => data[index] === byte));
  return `data:${found?.[0] ?? "image/tiff"};base64,${Buffer.from(data).toString("base64")}`;
}

function toolOf({ name, description, parametersJsonSchema }: Tool): JsonObject {
  return {
    type: "function",
    function: {
      name,
      ...(description === "" ? {} : { description }),
      ...(parametersJsonSchema === ""
        ? {}
        : { parameters: parse(parametersJsonSchema, `tools[${name}].parameters_json_schema`) }),
    },
  };
}

function toolChoiceOf({ choice }: ToolChoice): Json {
  if (choice?.$case === "tool") return { type: "function", function: { name: choice.value } };
  switch (choice?.value) {
    case ToolChoice_Mode.MODE_NONE:
      return "none";
    case ToolChoice_Mode.MODE_REQUIRED:
      return "required";
    default:
      return "auto";
  }
}

function samplingOf(sampling: Sampling | undefined, maxTokensField: MaxTokensField): JsonObject {
  const body: JsonObject = {};
  const put = (name: string, value: number | undefined) => {
    if (value !== undefined) body[name] = value;
  };
  put("temperature", sampling?.temperature);
  put("top_p", sampling?.topP);
  put("frequency_penalty", sampling?.frequencyPenalty);
  put("presence_penalty", sampling?.presencePenalty);
  put(maxTokensField, sampling?.maxOutputTokens);
  put("top_k", sampling?.topK);
  put("min_p", sampling?.minP);
  put("repeat_penalty", sampling?.repeatPenalty);
  // Their seed is a signed integer in JSON: the low 53 bits are what every parser reads alike.
  if (sampling?.seed !== undefined) body["seed"] = Number(BigInt.asUintN(53, sampling.seed));
  if (sampling !== undefined && sampling.stop.length > 0) body["stop"] = [...sampling.stop];
  return body;
}

function responseFormatOf({ form }: OutputConstraint): JsonObject {
  if (form?.$case === "jsonSchema") {
    const schema = parse(form.value, "constraint.json_schema");
    return { response_format: { type: "json_schema", json_schema: { name: "answer", schema, strict: true } } };
  }
  return form?.$case === "json" && form.value ? { response_format: { type: "json_object" } } : {};
}

function parse(text: string, field: string): Json {
  try {
    const value = JSON.parse(text) as Json;
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return value;
    throw new TypeError("it is not a JSON object");
  } catch (error) {
    throw new RouterError({ kind: "expression_invalid", field, detail: (error as Error).message });
  }
}
