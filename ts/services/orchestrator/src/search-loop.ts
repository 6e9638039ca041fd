import { setMaxListeners } from "node:events";
import {
  type Ask,
  type Attempt,
  AttemptFailure,
  type FailedNode,
  type Made,
  type PlanState,
  ROOT,
  type ScoredNode,
  type SearchOptions,
  type SearchResult,
} from "./search.js";
import { addUsage, NO_USAGE } from "./usage.js";
import { BudgetLimit, type Failure } from "./vocabulary.js";

/** The gRPC code of an attempt that the end of its search cut off. */
const CANCELLED = 1;

const CUT_OFF: Failure = {
  code: CANCELLED,
  reason: "CANCELLED",
  message: "the search ended before it did",
  fieldViolations: [],
};

/**
 * Runs a search to its end: asks for attempts, makes up to `parallel` of them at once, scores each, tells how it went, and
 * asks for the next while the others are under way.
 *
 * @throws the reason of `signal` when it is aborted; whatever the planner throws
 */
export async function runSearch(options: SearchOptions): Promise<SearchResult> {
  return await new SearchLoop(options).run();
}

class SearchLoop {
  readonly #options: SearchOptions;
  readonly #nodes: ScoredNode[] = [];
  readonly #failures: FailedNode[] = [];
  readonly #byId = new Map<string, ScoredNode>();
  readonly #underWay = new Set<Promise<void>>();
  /** Actions that fail whatever the attempt. */
  readonly #dead = new Map<string, AttemptFailure>();
  readonly #stop = new AbortController();
  #ordinal = 0;
  #ended = false;
  #endedBy: BudgetLimit | undefined;
  #best: ScoredNode | undefined;
  #cause: unknown;

  constructor(options: SearchOptions) {
    this.#options = options;
    // Every attempt listens.
    setMaxListeners(0, this.#stop.signal);
  }

  async run(): Promise<SearchResult> {
    const { signal, timeUp } = this.#options;
    const onTimeUp = () => this.#end(BudgetLimit.BUDGET_LIMIT_WALL_TIME);
    timeUp.addEventListener("abort", onTimeUp, { once: true });
    if (timeUp.aborted) onTimeUp();
    try {
      for (;;) {
        await this.#fill();
        if (this.#underWay.size === 0) break;
        await Promise.race(this.#underWay);
      }
      signal.throwIfAborted();
    } finally {
      timeUp.removeEventListener("abort", onTimeUp);
      this.#stop.abort();
      await Promise.allSettled(this.#underWay);
    }
    return {
      best: this.#best,
      nodes: this.#nodes,
      failures: this.#failures,
      endedBy: this.#endedBy,
      cause: this.#cause,
    };
  }

  /** Begins as many attempts as may be under way. */
  async #fill(): Promise<void> {
    const { planner, meter, parallel, signal } = this.#options;
    while (!this.#ended && !signal.aborted) {
      const { reached } = meter;
      if (reached !== undefined) return this.#end(reached);
      const free = Math.min(parallel - this.#underWay.size, meter.nodesLeft);
      if (free <= 0) return;
      const answer = await planner.ask(free, signal);
      for (const ask of answer.asks) this.#begin(ask);
      this.#hear(answer);
      if (answer.asks.length === 0) return;
    }
  }

  #begin(ask: Ask): void {
    const attempt: Attempt = { ...ask, ordinal: ++this.#ordinal, parent: this.#parentOf(ask) };
    this.#options.meter.start(ask.nodeId);
    this.#options.listener.onNode(attempt);
    const work = this.#conduct(attempt).finally(() => this.#underWay.delete(work));
    this.#underWay.add(work);
    // An error that nobody can hear yet is heard by the race.
    work.catch(() => undefined);
  }

  #parentOf({ parentId }: Ask): ScoredNode | undefined {
    return parentId === ROOT ? undefined : this.#byId.get(parentId);
  }

  async #conduct(attempt: Attempt): Promise<void> {
    const { meter, now, signal } = this.#options;
    const beganMs = now();
    let usage = NO_USAGE;
    try {
      const made = await this.#make(attempt);
      usage = made.usage;
      // What was cut off is worth scoring only where there is nothing else to answer with.
      if (made.cut && (this.#best !== undefined || made.text === "")) throw cutOff();
      const scoring = await this.#options.scorer.score(attempt, made.text, this.#nodes, signal);
      usage = addUsage(usage, scoring.usage);
      meter.end(attempt.nodeId, usage);
      await this.#scored(attempt, made, { ...scoring, usage, latencyMs: now() - beganMs });
    } catch (error) {
      if (!(error instanceof AttemptFailure)) throw error;
      usage = addUsage(usage, error.usage);
      meter.end(attempt.nodeId, usage);
      await this.#failed(attempt, error, { usage, latencyMs: now() - beganMs });
    }
    const { reached } = meter;
    // Attempts under way may still come to something within the number of nodes, not within spent tokens or money.
    if (reached !== undefined && reached !== BudgetLimit.BUDGET_LIMIT_NODES) this.#end(reached);
  }

  async #make(attempt: Attempt): Promise<Made> {
    const { maker, meter, listener, signal } = this.#options;
    const dead = this.#dead.get(attempt.action);
    if (dead !== undefined) throw dead;
    return await maker.make(attempt, {
      signal,
      stop: this.#stop.signal,
      maxOutputTokens: Math.max(1, meter.tokensLeft),
      onDelta: (delta) => {
        meter.stream(attempt.nodeId, delta.tokens);
        listener.onDelta(attempt.nodeId, delta);
        if (meter.tokensLeft === 0) this.#end(BudgetLimit.BUDGET_LIMIT_TOKENS);
      },
    });
  }

  async #scored(
    attempt: Attempt,
    made: Made,
    outcome: Pick<ScoredNode, "score" | "verdicts" | "usage" | "latencyMs">,
  ): Promise<void> {
    const { planner, listener, signal, targetScore } = this.#options;
    const { nodeId, parentId, action, depth } = attempt;
    const { score, usage } = outcome;
    // Told before it is shown: whoever is shown a node may ask the planner about it.
    const state = await planner.tell({ nodeId, score, text: made.text, usage }, signal);
    const { searchNodeId = "" } = state;
    const node = { nodeId, parentId, action, depth, text: made.text, model: made.model, searchNodeId, ...outcome };
    this.#nodes.push(node);
    this.#byId.set(nodeId, node);
    const best = this.#best === undefined || score > this.#best.score;
    if (best) this.#best = node;
    listener.onScore(node, best, this.#nodes.length);
    if (score >= targetScore) this.#end(undefined);
    this.#hear(state);
  }

  async #failed(
    attempt: Attempt,
    error: AttemptFailure,
    outcome: Pick<FailedNode, "usage" | "latencyMs">,
  ): Promise<void> {
    const { planner, listener, signal, actions } = this.#options;
    const { nodeId, parentId, action, depth } = attempt;
    const { failure } = error;
    const node = { nodeId, parentId, action, depth, failure, ...outcome };
    this.#failures.push(node);
    if (failure !== CUT_OFF) this.#cause = error.cause;
    listener.onFailure(node);
    if (error.permanent) {
      this.#dead.set(action, error);
      if (actions.every((name) => this.#dead.has(name))) this.#end(undefined);
    }
    this.#hear(await planner.tell({ nodeId, failure }, signal));
  }

  #hear({ ended, endedBy }: PlanState): void {
    if (!ended || this.#ended) return;
    // What is under way is still wanted: only no more comes.
    this.#ended = true;
    this.#endedBy = endedBy;
  }

  #end(limit: BudgetLimit | undefined): void {
    if (!this.#ended) {
      this.#ended = true;
      this.#endedBy = limit;
    } else if (limit === undefined || limit === BudgetLimit.BUDGET_LIMIT_WALL_TIME) {
      // It was ending already, with attempts under way; this is what ends those.
      this.#endedBy = limit;
    }
    if (limit !== BudgetLimit.BUDGET_LIMIT_NODES) this.#stop.abort();
  }
}

function cutOff(): AttemptFailure {
  return new AttemptFailure({ failure: CUT_OFF, usage: NO_USAGE, permanent: false, cause: undefined });
}
