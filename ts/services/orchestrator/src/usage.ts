import type { Usage } from "./vocabulary.js";

/** Nothing used. */
export const NO_USAGE: Usage = {
  inputTokens: 0n,
  cachedInputTokens: 0n,
  outputTokens: 0n,
  reasoningTokens: 0n,
  calls: 0,
  costMicroUsd: 0n,
};

/** The sum, field by field. */
export function addUsage(a: Usage, b: Usage): Usage {
  return {
    inputTokens: a.inputTokens + b.inputTokens,
    cachedInputTokens: a.cachedInputTokens + b.cachedInputTokens,
    outputTokens: a.outputTokens + b.outputTokens,
    reasoningTokens: a.reasoningTokens + b.reasoningTokens,
    calls: a.calls + b.calls,
    costMicroUsd: a.costMicroUsd + b.costMicroUsd,
  };
}

/** Input and output tokens together, as budgets count them. */
export function tokensOf({ inputTokens, outputTokens }: Usage): bigint {
  return inputTokens + outputTokens;
}
