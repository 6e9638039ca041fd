import { readFileSync } from "node:fs";
import {
  type Environment,
  integerVariable,
  type KitConfig,
  loadConfig as loadKitConfig,
  readVariable,
  StartError,
} from "@uait/kit";
import { parse } from "yaml";
import { z } from "zod";
import { CAPABILITIES, type Model, type SamplingExtension } from "./model.js";
import type { MaxTokensField } from "./openai-request.js";
import type { Patience } from "./upstream.js";

/** An OpenAI-compatible endpoint, with its key read. */
export interface OpenAiConfig {
  readonly name: string;
  /** Without a slash at its end. */
  readonly baseUrl: string;
  /** `undefined` for an endpoint that wants none. */
  readonly key: string | undefined;
  readonly maxTokensField: MaxTokensField;
  /** From the request to the head of the response, in milliseconds. */
  readonly firstByteMs: number;
  readonly patience: Patience;
  readonly models: readonly Model[];
}

export interface RouterConfig extends KitConfig {
  readonly upstreams: readonly OpenAiConfig[];
  /** Patience with ml-inference, and with endpoints that set none of their own. */
  readonly patience: Patience;
}

const EXTENSIONS: Readonly<Record<string, SamplingExtension>> = {
  top_k: "topK",
  min_p: "minP",
  repeat_penalty: "repeatPenalty",
};

const microUsd = z.int().min(0).max(1_000_000_000_000);
// Timers of Node's fetch end a response body after 300 s of silence whatever is set here.
const patienceMs = z.int().min(100).max(300_000);

const model = z.strictObject({
  /** Its name at the endpoint. */
  name: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._:/@-]{0,94}$/),
  capabilities: z.array(z.enum(CAPABILITIES).exclude(["local", "grammar"])).default([]),
  context_tokens: z.int().min(0).max(100_000_000).default(0),
  /** Micro-USD for a million tokens; cached input costs as much as other input unless it says otherwise. */
  price: z.strictObject({
    input_micro_usd: microUsd,
    cached_input_micro_usd: microUsd.optional(),
    output_micro_usd: microUsd,
  }),
});

const upstream = z.strictObject({
  name: z.string().regex(/^[a-z][a-z0-9-]{0,31}$/),
  /** Such as https://api.openai.com/v1. */
  base_url: z
    .string()
    .refine((value) => /^https?:\/\//.test(value) && URL.canParse(value), "must be an http or https URL"),
  /** Where the key is: a variable of the environment, or a file. */
  key: z.union([z.strictObject({ env: z.string().min(1) }), z.strictObject({ file: z.string().min(1) })]).optional(),
  max_tokens_field: z.enum(["max_tokens", "max_completion_tokens"]).default("max_tokens"),
  /** Fields beyond OpenAI's own that the endpoint takes. */
  extensions: z.array(z.enum(["top_k", "min_p", "repeat_penalty"])).default([]),
  /** Most stop texts; OpenAI takes 4. */
  max_stops: z.int().min(0).max(16).default(4),
  first_byte_ms: patienceMs.default(30_000),
  first_token_ms: patienceMs.optional(),
  idle_ms: patienceMs.optional(),
  models: z.array(model).min(1).max(256),
});
const upstreams = z
  .array(upstream)
  .max(32)
  .refine((all) => new Set(all.map(({ name }) => name)).size === all.length, "must have different names");

/** Reads the whole environment. @throws StartError that names the variable and its range. */
export function loadConfig(env: Environment): RouterConfig {
  const kit = loadKitConfig(env, { service: "llm-router", port: 9003 });
  const patience = {
    firstTokenMs: readVariable(env, "UAIT_LLM_FIRST_TOKEN_MS", "60000", integerVariable(100, 300_000)),
    idleMs: readVariable(env, "UAIT_LLM_IDLE_MS", "30000", integerVariable(100, 300_000)),
  };
  return { ...kit, patience, upstreams: readUpstreams(env, patience) };
}

function readUpstreams(env: Environment, patience: Patience): OpenAiConfig[] {
  const file = env["UAIT_LLM_UPSTREAMS_FILE"];
  const inline = env["UAIT_LLM_UPSTREAMS"];
  if (file && inline) throw StartError.config("UAIT_LLM_UPSTREAMS_FILE", file, "unset where UAIT_LLM_UPSTREAMS is set");
  if (!file && !inline) return [];
  const [variable, value] = file ? ["UAIT_LLM_UPSTREAMS_FILE", file] : ["UAIT_LLM_UPSTREAMS", "..."];
  const refuse = (range: string) => StartError.config(variable, value, range);
  let written: unknown;
  try {
    written = parse(file ? readFileSync(file, "utf8") : (inline ?? ""));
  } catch (error) {
    throw refuse(`YAML or JSON that can be read (${(error as Error).message.split("\n")[0]})`);
  }
  const result = upstreams.safeParse(written);
  if (!result.success) {
    const [issue] = result.error.issues;
    throw refuse(`a list of upstreams (${issue?.path.join(".") || "it"}: ${issue?.message})`);
  }
  return result.data.map((each) => openAiConfig(each, { env, patience, refuse }));
}

function openAiConfig(
  written: z.infer<typeof upstream>,
  {
    env,
    patience,
    refuse,
  }: { readonly env: Environment; readonly patience: Patience; readonly refuse: (range: string) => StartError },
): OpenAiConfig {
  const { name } = written;
  const extensions = new Set(written.extensions.flatMap((each) => EXTENSIONS[each] ?? []));
  return {
    name,
    baseUrl: written.base_url.replace(/\/+$/, ""),
    key: written.key === undefined ? undefined : readKey(name, written.key, env, refuse),
    maxTokensField: written.max_tokens_field,
    firstByteMs: written.first_byte_ms,
    patience: {
      firstTokenMs: written.first_token_ms ?? patience.firstTokenMs,
      idleMs: written.idle_ms ?? patience.idleMs,
    },
    models: written.models.map(({ name: upstreamName, capabilities, context_tokens, price }) => ({
      name: `${name}/${upstreamName}`,
      upstreamName,
      upstream: name,
      capabilities: new Set(capabilities),
      contextTokens: context_tokens,
      price: {
        inputMicroUsd: price.input_micro_usd,
        cachedInputMicroUsd: price.cached_input_micro_usd ?? price.input_micro_usd,
        outputMicroUsd: price.output_micro_usd,
      },
      extensions,
      maxStops: written.max_stops,
    })),
  };
}

function readKey(
  upstreamName: string,
  key: { readonly env: string } | { readonly file: string },
  env: Environment,
  refuse: (range: string) => StartError,
): string {
  let value: string | undefined;
  try {
    value = "env" in key ? env[key.env] : readFileSync(key.file, "utf8");
  } catch {
    value = undefined;
  }
  const trimmed = value?.trim() ?? "";
  // Whatever is said of a key, it is never the key.
  if (!/^[\x21-\x7e]+$/.test(trimmed))
    throw refuse(`given with the key of ${upstreamName} in ${"env" in key ? key.env : key.file}, in one line of ASCII`);
  return trimmed;
}
