import { addUsage, NO_USAGE, tokensOf } from "./usage.js";
import { type Budget, BudgetLimit, type Usage } from "./vocabulary.js";

/** A budget with every limit set. */
export interface Limits {
  readonly maxNodes: number;
  readonly maxTokens: bigint;
  readonly maxCostMicroUsd: bigint;
  readonly maxWallTimeMs: number;
}

/** What a request without a budget may use (`RunRequest.budget`). */
export const DEFAULT_LIMITS: Limits = {
  maxNodes: 16,
  maxTokens: 100_000n,
  maxCostMicroUsd: 1_000_000n,
  maxWallTimeMs: 300_000,
};

/**
 * The limits in force.
 *
 * @param maxWallTimeMs the budget's wall time; absent for the default
 * @param leftMs time until the caller stops waiting; absent when it waits
 * @param marginMs of that time, what the answer needs to arrive
 */
export function limitsOf(
  budget: Budget | undefined,
  maxWallTimeMs: number | undefined,
  leftMs?: number,
  marginMs = 0,
): Limits {
  const wallTimeMs = maxWallTimeMs ?? DEFAULT_LIMITS.maxWallTimeMs;
  const usableMs = leftMs === undefined ? wallTimeMs : leftMs - Math.min(marginMs, leftMs / 10);
  return {
    maxNodes: budget?.maxNodes ?? DEFAULT_LIMITS.maxNodes,
    maxTokens: budget?.maxTokens ?? DEFAULT_LIMITS.maxTokens,
    maxCostMicroUsd: budget?.maxCostMicroUsd ?? DEFAULT_LIMITS.maxCostMicroUsd,
    maxWallTimeMs: Math.max(1, Math.min(wallTimeMs, usableMs)),
  };
}

/** Counts what a search uses against its limits; wall time is its caller's to watch. */
export class BudgetMeter {
  readonly #limits: Limits;
  #usage = NO_USAGE;
  #started = 0;
  // Tokens that models under way have written so far, by attempt.
  readonly #streaming = new Map<string, number>();

  constructor(limits: Limits) {
    this.#limits = limits;
  }

  /** What has been used by attempts that ended. */
  get usage(): Usage {
    return this.#usage;
  }

  /** Attempts that may still begin. */
  get nodesLeft(): number {
    return Math.max(0, this.#limits.maxNodes - this.#started);
  }

  /** Tokens that may still be used; at least 0. */
  get tokensLeft(): number {
    let left = this.#limits.maxTokens - tokensOf(this.#usage);
    for (const tokens of this.#streaming.values()) left -= BigInt(tokens);
    return left > 0n ? Number(left) : 0;
  }

  start(nodeId: string): void {
    this.#started++;
    this.#streaming.set(nodeId, 0);
  }

  /** Tokens that an attempt under way has written since the last call. */
  stream(nodeId: string, tokens: number): void {
    this.#streaming.set(nodeId, (this.#streaming.get(nodeId) ?? 0) + tokens);
  }

  end(nodeId: string, usage: Usage): void {
    this.#streaming.delete(nodeId);
    this.#usage = addUsage(this.#usage, usage);
  }

  /** The limit that is reached; `undefined` while there is none. */
  get reached(): BudgetLimit | undefined {
    if (this.tokensLeft === 0) return BudgetLimit.BUDGET_LIMIT_TOKENS;
    const { maxCostMicroUsd } = this.#limits;
    const { costMicroUsd } = this.#usage;
    // A budget of nothing allows what costs nothing.
    if (maxCostMicroUsd === 0n ? costMicroUsd > 0n : costMicroUsd >= maxCostMicroUsd) {
      return BudgetLimit.BUDGET_LIMIT_COST;
    }
    return this.nodesLeft === 0 ? BudgetLimit.BUDGET_LIMIT_NODES : undefined;
  }
}
