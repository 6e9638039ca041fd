import type { Limits } from "./budget.js";
import type { Verifier } from "./verifiers/verifier.js";
import type { OutputConstraint, Sampling, Strategy } from "./vocabulary.js";

/** What shall be run: a request with every default filled in, and every expression of it found well-formed. */
export interface RunJob {
  readonly runId: string;
  readonly task: string;
  /** Empty lets the agent selector classify it. */
  readonly taskType: string;
  readonly instructions: string;
  readonly output: OutputConstraint | undefined;
  /** Empty where the caller named none. */
  readonly verifiers: readonly Verifier[];
  readonly limits: Limits;
  readonly targetScore: number;
  readonly strategy: Strategy;
  readonly parallel: number;
  readonly maxDepth: number;
  readonly seed: bigint;
  /** What may be gathered as context; absent gathers none. */
  readonly context: ContextWish | undefined;
  readonly agents: readonly string[];
  readonly models: readonly string[];
  readonly sampling: Sampling | undefined;
  readonly forgotten: boolean;
  readonly labels: Readonly<Record<string, string>>;
  /** SHA-256 of the request. */
  readonly digest: string;
}

export interface ContextWish {
  /** Numbers of `ContextOptions.Source`; none for all. */
  readonly sources: readonly number[];
  readonly fileIds: readonly string[];
  readonly maxTokens: number;
  readonly minScore: number;
}

/** Most attempts under way at once where a request says nothing. */
export const DEFAULT_PARALLEL = 4;
/** Most refinements of one attempt where a request says nothing. */
export const DEFAULT_MAX_DEPTH = 8;
