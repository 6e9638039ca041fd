import type { Usage } from "./vocabulary.js";

export const NO_USAGE: Usage = {
  inputTokens: 0n,
  cachedInputTokens: 0n,
  outputTokens: 0n,
  reasoningTokens: 0n,
  calls: 0,
  costMicroUsd: 0n,
};

export function sumOf(a: Usage, b: Usage): Usage {
  return {
    inputTokens: a.inputTokens + b.inputTokens,
    cachedInputTokens: a.cachedInputTokens + b.cachedInputTokens,
    outputTokens: a.outputTokens + b.outputTokens,
    reasoningTokens: a.reasoningTokens + b.reasoningTokens,
    calls: a.calls + b.calls,
    costMicroUsd: a.costMicroUsd + b.costMicroUsd,
  };
}
