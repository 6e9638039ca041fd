/** Windows of time in which a budget counts, in UTC. */
export const PERIODS = ["hour", "day", "month"] as const;
export type Period = (typeof PERIODS)[number];

/** What calls used, in sums that add up field by field. */
export interface Spent {
  readonly inputTokens: number;
  readonly cachedInputTokens: number;
  readonly outputTokens: number;
  readonly reasoningTokens: number;
  readonly calls: number;
  readonly costMicroUsd: number;
}

export const NOTHING: Spent = {
  inputTokens: 0,
  cachedInputTokens: 0,
  outputTokens: 0,
  reasoningTokens: 0,
  calls: 0,
  costMicroUsd: 0,
};

export function sum(a: Spent, b: Spent): Spent {
  return {
    inputTokens: a.inputTokens + b.inputTokens,
    cachedInputTokens: a.cachedInputTokens + b.cachedInputTokens,
    outputTokens: a.outputTokens + b.outputTokens,
    reasoningTokens: a.reasoningTokens + b.reasoningTokens,
    calls: a.calls + b.calls,
    costMicroUsd: a.costMicroUsd + b.costMicroUsd,
  };
}

/** How much may be used in a window. */
export interface Limits {
  readonly period: Period;
  /** `undefined` does not limit. */
  readonly maxCostMicroUsd: number | undefined;
  /** Input and output together; `undefined` does not limit. */
  readonly maxTokens: number | undefined;
}

/** Which limit is reached, in words; `undefined` while none is. */
export function reached({ period, maxCostMicroUsd, maxTokens }: Limits, spent: Spent): string | undefined {
  const tokens = spent.inputTokens + spent.outputTokens;
  if (maxCostMicroUsd !== undefined && spent.costMicroUsd >= maxCostMicroUsd)
    return `${maxCostMicroUsd} micro-USD in a ${period}`;
  if (maxTokens !== undefined && tokens >= maxTokens) return `${maxTokens} tokens in a ${period}`;
  return undefined;
}

/** When the window of a moment begins and ends: Unix time in milliseconds. */
export function windowOf(period: Period, atMs: number): { readonly startMs: number; readonly endMs: number } {
  const at = new Date(atMs);
  const [year, month, day] = [at.getUTCFullYear(), at.getUTCMonth(), at.getUTCDate()];
  switch (period) {
    case "hour": {
      const startMs = Date.UTC(year, month, day, at.getUTCHours());
      return { startMs, endMs: startMs + 3_600_000 };
    }
    case "day":
      return { startMs: Date.UTC(year, month, day), endMs: Date.UTC(year, month, day + 1) };
    case "month":
      return { startMs: Date.UTC(year, month), endMs: Date.UTC(year, month + 1) };
  }
}
