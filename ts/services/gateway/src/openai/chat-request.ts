import { z } from "zod";

/** Name of the model that is not one: it runs the orchestrator. */
export const ORCHESTRATOR_MODEL = "uait-orchestrator";

const textPart = z.object({ type: z.literal("text"), text: z.string() });
const DATA_URL = /^data:image\/[a-z0-9.+-]+;base64,([A-Za-z0-9+/]+={0,2})$/;
const imagePart = z.object({
  type: z.literal("image_url"),
  image_url: z.object({
    // Fetching what a caller names from inside the mesh would open it to them.
    url: z.string().regex(DATA_URL, "must be a data URL with base64: images elsewhere are not fetched"),
    detail: z.enum(["auto", "low", "high"]).optional(),
  }),
});
const text = z.union([z.string(), z.array(textPart).min(1).max(64)]);
const toolName = z
  .string()
  .regex(/^[A-Za-z][A-Za-z0-9_]{0,62}$/, "must be a letter, then at most 62 letters, digits and underscores");
const name = z.string().max(64).optional();

const message = z.discriminatedUnion("role", [
  z.object({ role: z.enum(["system", "developer"]), content: text, name }),
  z.object({
    role: z.literal("user"),
    content: z.union([
      z.string(),
      z
        .array(z.union([textPart, imagePart]))
        .min(1)
        .max(64),
    ]),
    name,
  }),
  z.object({
    role: z.literal("assistant"),
    content: text.nullish(),
    refusal: z.string().nullish(),
    name,
    tool_calls: z
      .array(
        z.object({
          id: z.string().min(1).max(128),
          type: z.literal("function"),
          function: z.object({ name: toolName, arguments: z.string() }),
        }),
      )
      .max(63)
      .optional(),
  }),
  z.object({ role: z.literal("tool"), content: text, tool_call_id: z.string().min(1).max(128) }),
]);

const tool = z.object({
  type: z.literal("function"),
  function: z.object({
    name: toolName,
    description: z.string().max(4096).optional(),
    parameters: z.record(z.string(), z.unknown()).optional(),
    strict: z.boolean().nullish(),
  }),
});

const responseFormat = z.discriminatedUnion("type", [
  z.object({ type: z.literal("text") }),
  z.object({ type: z.literal("json_object") }),
  z.object({
    type: z.literal("json_schema"),
    json_schema: z.object({
      name: z.string(),
      description: z.string().optional(),
      schema: z.record(z.string(), z.unknown()),
      strict: z.boolean().nullish(),
    }),
  }),
]);

const maxTokens = z.int().min(1).max(131_072).nullish();

/**
 * The body of `POST /v1/chat/completions`. What is neither honoured nor without effect on the answer is refused: a field that is
 * dropped in silence is a wrong answer.
 */
export const chatRequest = z.strictObject({
  model: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._:/@-]{0,127}$/, "must be the name of a model"),
  messages: z.array(message).min(1).max(1000),
  stream: z.boolean().nullish(),
  stream_options: z.object({ include_usage: z.boolean().nullish() }).nullish(),
  temperature: z.number().min(0).max(2).nullish(),
  top_p: z.number().gt(0).max(1).nullish(),
  seed: z.int().nullish(),
  stop: z.union([z.string().min(1).max(128), z.array(z.string().min(1).max(128)).max(16)]).nullish(),
  max_tokens: maxTokens,
  max_completion_tokens: maxTokens,
  frequency_penalty: z.number().min(-2).max(2).nullish(),
  presence_penalty: z.number().min(-2).max(2).nullish(),
  response_format: responseFormat.nullish(),
  tools: z.array(tool).max(64).nullish(),
  tool_choice: z
    .union([
      z.enum(["none", "auto", "required"]),
      z.object({ type: z.literal("function"), function: z.object({ name: toolName }) }),
    ])
    .nullish(),
  logprobs: z.boolean().nullish(),
  top_logprobs: z.int().min(0).max(20).nullish(),
  n: z.literal(1, "must be 1").nullish(),
  /** How much a run may search; no model of the router takes it. */
  reasoning_effort: z.enum(["minimal", "low", "medium", "high"]).nullish(),
  // Common beyond OpenAI: vLLM, llama.cpp and others take them.
  top_k: z.int().min(0).max(1000).nullish(),
  min_p: z.number().min(0).max(1).nullish(),
  repeat_penalty: z.number().min(0.5).max(2).nullish(),
  // Without effect on an answer here, or with the only one that there is.
  user: z.string().nullish(),
  safety_identifier: z.string().nullish(),
  prompt_cache_key: z.string().nullish(),
  metadata: z.record(z.string(), z.string()).nullish(),
  store: z.literal(false, "must be false: nothing is stored").nullish(),
  service_tier: z.enum(["auto", "default"]).nullish(),
  parallel_tool_calls: z.literal(true, "must be true").nullish(),
  modalities: z.array(z.literal("text")).nullish(),
  logit_bias: z.strictObject({}, "must be empty").nullish(),
});

export type ChatRequest = z.infer<typeof chatRequest>;
export type Message = ChatRequest["messages"][number];

/** The bytes of an image part. */
export function imageBytes(url: string): Uint8Array {
  return Buffer.from(DATA_URL.exec(url)?.[1] ?? "", "base64");
}

/** A text that may come in parts, as one. */
export function joined(content: z.infer<typeof text>): string {
  return typeof content === "string" ? content : content.map((part) => part.text).join("");
}
