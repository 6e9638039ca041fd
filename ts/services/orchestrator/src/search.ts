import type { BudgetMeter } from "./budget.js";
import type { BudgetLimit, Failure, Usage, Verdict } from "./vocabulary.js";

/** The parent of a fresh attempt. */
export const ROOT = "root";

/** An attempt that shall be made. */
export interface Ask {
  /** Its id, which becomes the attempt's. */
  readonly nodeId: string;
  /** The attempt that it refines, or ROOT. */
  readonly parentId: string;
  /** Name of the action that makes it. */
  readonly action: string;
  /** Refinements that led to it, from 1. */
  readonly depth: number;
}

/** What a planner says of a search. */
export interface PlanState {
  /** Whether no more asks will come. */
  readonly ended: boolean;
  /** The limit that ended it, where one did. */
  readonly endedBy?: BudgetLimit | undefined;
}

/** How an attempt went, as a planner is told. */
export type Outcome =
  | { readonly nodeId: string; readonly score: number; readonly text: string; readonly usage: Usage }
  | { readonly nodeId: string; readonly failure: Failure };

/** Decides which attempt to make next. */
export interface Planner {
  /** At most `count` attempts to make; fewer, or none, when it wants to hear of those under way first. */
  ask(count: number, signal: AbortSignal): Promise<PlanState & { readonly asks: readonly Ask[] }>;
  /** Returns the planner's own id of the node that came of it, where it has one. */
  tell(outcome: Outcome, signal: AbortSignal): Promise<PlanState & { readonly searchNodeId?: string | undefined }>;
}

/** An attempt under way. */
export interface Attempt extends Ask {
  /** Its place in the order of asks, from 1. */
  readonly ordinal: number;
  /** The attempt that it refines; absent for a fresh one. */
  readonly parent: ScoredNode | undefined;
}

/** What a model made of an attempt. */
export interface Made {
  readonly text: string;
  readonly model: string;
  readonly usage: Usage;
  /** Whether it was cut off by the end of the search. */
  readonly cut: boolean;
}

/** Makes attempts. */
export interface Maker {
  /**
   * Makes one. When `stop` is aborted it returns what there is so far.
   *
   * @throws AttemptFailure; the reason of `signal` when it is aborted
   */
  make(attempt: Attempt, control: AttemptControl): Promise<Made>;
}

export interface AttemptControl {
  /** The caller is gone: nothing more is wanted. */
  readonly signal: AbortSignal;
  /** The search is over: what there is so far is wanted. */
  readonly stop: AbortSignal;
  /** Most tokens that it may write. */
  readonly maxOutputTokens: number;
  /** A piece of the text came. */
  onDelta(delta: Delta): void;
}

/** A piece of a text. */
export interface Delta {
  readonly text: string;
  readonly tokens: number;
}

/** How an attempt failed, with what it used. */
export class AttemptFailure extends Error {
  readonly failure: Failure;
  readonly usage: Usage;
  /** Whether this action fails whatever the attempt. */
  readonly permanent: boolean;
  /** The failure as the caller of the run shall get it, if nothing else comes of the run. */
  override readonly cause: unknown;

  constructor(options: {
    readonly failure: Failure;
    readonly usage: Usage;
    readonly permanent: boolean;
    readonly cause: unknown;
  }) {
    super(options.failure.message);
    this.name = "AttemptFailure";
    this.failure = options.failure;
    this.usage = options.usage;
    this.permanent = options.permanent;
    this.cause = options.cause;
  }
}

/** A score with what each verifier said. */
export interface Scoring {
  /** 0 to 1. */
  readonly score: number;
  readonly verdicts: Verdict[];
  /** What judging used. */
  readonly usage: Usage;
}

/** Scores attempts. */
export interface Scorer {
  /**
   * @param others the scored attempts so far
   * @throws AttemptFailure when no verifier could score
   */
  score(attempt: Attempt, text: string, others: readonly ScoredNode[], signal: AbortSignal): Promise<Scoring>;
  /** Scores once more what depends on attempts that came later; `undefined` where nothing does. */
  settle(nodes: readonly ScoredNode[], signal: AbortSignal): Promise<readonly Scoring[] | undefined>;
}

/** A scored attempt. */
export interface ScoredNode extends Ask {
  readonly text: string;
  readonly model: string;
  readonly score: number;
  readonly verdicts: Verdict[];
  /** What making and judging it used. */
  readonly usage: Usage;
  readonly latencyMs: number;
  /** The planner's own id of it; empty where it has none. */
  readonly searchNodeId: string;
}

/** A failed attempt. */
export interface FailedNode extends Ask {
  readonly failure: Failure;
  readonly usage: Usage;
  readonly latencyMs: number;
}

/** What happens in a search. */
export interface SearchListener {
  onNode(attempt: Attempt): void;
  onDelta(nodeId: string, delta: Delta): void;
  /** @param nodes scored attempts so far, this one included */
  onScore(node: ScoredNode, best: boolean, nodes: number): void;
  onFailure(node: FailedNode): void;
}

export interface SearchOptions {
  readonly planner: Planner;
  readonly maker: Maker;
  readonly scorer: Scorer;
  readonly meter: BudgetMeter;
  readonly listener: SearchListener;
  /** Names of the actions that asks may have. */
  readonly actions: readonly string[];
  /** Attempts under way at once. */
  readonly parallel: number;
  /** End as soon as an attempt scores this. */
  readonly targetScore: number;
  /** The caller is gone. */
  readonly signal: AbortSignal;
  /** The wall time is over. */
  readonly timeUp: AbortSignal;
  /** Milliseconds of a clock that never goes back. */
  readonly now: () => number;
}

/** How a search ended. */
export interface SearchResult {
  /** The best attempt; absent when none was scored. */
  readonly best: ScoredNode | undefined;
  readonly nodes: readonly ScoredNode[];
  readonly failures: readonly FailedNode[];
  /** The limit that ended it; absent when the target score did. */
  readonly endedBy: BudgetLimit | undefined;
  /** The last failure's cause, as its caller shall get it; absent without one. */
  readonly cause: unknown;
}
