import type { Generation, Sampling, TokenCounts } from "./generation.js";

/** What a model can do, as `uait.llm_router.v1.Capability` has it. */
export const CAPABILITIES = ["tools", "vision", "json_schema", "grammar", "logprobs", "reasoning", "local"] as const;
export type Capability = (typeof CAPABILITIES)[number];

/** Micro-USD for a million tokens. */
export interface Price {
  readonly inputMicroUsd: number;
  readonly cachedInputMicroUsd: number;
  readonly outputMicroUsd: number;
}

export const FREE: Price = { inputMicroUsd: 0, cachedInputMicroUsd: 0, outputMicroUsd: 0 };

/** Fields of Sampling that not every upstream takes. */
export type SamplingExtension = "topK" | "minP" | "repeatPenalty";

/** A model that some upstream serves. */
export interface Model {
  /** Its name here: the upstream's own for a local model, else `<upstream>/<name>`. */
  readonly name: string;
  /** Its name at its upstream. */
  readonly upstreamName: string;
  readonly upstream: string;
  readonly capabilities: ReadonlySet<Capability>;
  /** Longest input and output together, in tokens; 0 when not known. */
  readonly contextTokens: number;
  readonly price: Price;
  readonly extensions: ReadonlySet<SamplingExtension>;
  /** Most stop texts that it takes. */
  readonly maxStops: number;
}

const TOKENS_OF_PRICE = 1_000_000;
const LONGEST_OUTPUT_TOKENS = 131_072;

/** Price of a call in whole micro-USD, rounded up. */
export function costMicroUsd(price: Price, tokens: TokenCounts): number {
  const fresh = Math.max(0, tokens.inputTokens - tokens.cachedInputTokens);
  const sum =
    fresh * price.inputMicroUsd +
    tokens.cachedInputTokens * price.cachedInputMicroUsd +
    tokens.outputTokens * price.outputMicroUsd;
  return Math.ceil(sum / TOKENS_OF_PRICE);
}

/**
 * What a call costs at most: nothing cached, and the longest output.
 *
 * @param maxOutputTokens 0 when the caller sets no limit
 * @returns `undefined` when neither the call nor the model bounds the output of a priced model
 */
export function highestCostMicroUsd(model: Model, inputTokens: number, maxOutputTokens: number): number | undefined {
  const left = model.contextTokens === 0 ? undefined : Math.max(0, model.contextTokens - inputTokens);
  const outputTokens = Math.min(
    maxOutputTokens === 0 ? Number.POSITIVE_INFINITY : maxOutputTokens,
    left ?? (model.price.outputMicroUsd === 0 ? 0 : Number.POSITIVE_INFINITY),
    LONGEST_OUTPUT_TOKENS,
  );
  if (maxOutputTokens === 0 && left === undefined && model.price.outputMicroUsd > 0) return undefined;
  return costMicroUsd(model.price, { inputTokens, cachedInputTokens: 0, outputTokens, reasoningTokens: 0 });
}

/** What a request cannot do without, each with what is said of a model that lacks it. */
export interface Needs {
  readonly capabilities: ReadonlySet<Capability>;
  /** One of these, where there are any. */
  readonly oneOf: readonly Capability[];
  readonly extensions: ReadonlySet<SamplingExtension>;
  readonly stops: number;
}

export const NO_NEEDS: Needs = { capabilities: new Set(), oneOf: [], extensions: new Set(), stops: 0 };

/** What a generation asks of its model: a field that the model cannot honour is never dropped. */
export function needsOf({ messages, tools, sampling, constraint, logprobs }: Generation): Needs {
  const capabilities = new Set<Capability>();
  if (tools.length > 0) capabilities.add("tools");
  if (messages.some(({ parts }) => parts.some(({ content }) => content?.$case === "image"))) capabilities.add("vision");
  if (logprobs > 0) capabilities.add("logprobs");
  let oneOf: readonly Capability[] = [];
  switch (constraint?.form?.$case) {
    case "jsonSchema":
      capabilities.add("json_schema");
      break;
    case "grammar":
    case "regex":
      capabilities.add("grammar");
      break;
    case "json":
      if (constraint.form.value) oneOf = ["json_schema", "grammar"];
      break;
  }
  return { capabilities, oneOf, extensions: extensionsOf(sampling), stops: sampling?.stop.length ?? 0 };
}

function extensionsOf(sampling: Sampling | undefined): Set<SamplingExtension> {
  const found = new Set<SamplingExtension>();
  // The values that change nothing need no one's support.
  if (sampling?.topK !== undefined && sampling.topK !== 0) found.add("topK");
  if (sampling?.minP !== undefined && sampling.minP !== 0) found.add("minP");
  if (sampling?.repeatPenalty !== undefined && sampling.repeatPenalty !== 1) found.add("repeatPenalty");
  return found;
}

/** What a model lacks of what is needed, in words; empty when it has all. */
export function lacking(model: Model, needs: Needs): string[] {
  const lacks = [...needs.capabilities].filter((each) => !model.capabilities.has(each)).map((each) => `lacks ${each}`);
  if (needs.oneOf.length > 0 && !needs.oneOf.some((each) => model.capabilities.has(each)))
    lacks.push(`lacks ${needs.oneOf.join(" or ")}`);
  for (const each of needs.extensions) if (!model.extensions.has(each)) lacks.push(`does not take ${each}`);
  if (needs.stops > model.maxStops) lacks.push(`takes ${model.maxStops} stop texts, not ${needs.stops}`);
  return lacks;
}
