import type { Ask, Outcome, Planner, PlanState } from "./search.js";

export interface FallbackOptions {
  readonly first: Planner;
  /** Plans from when the first is away. */
  readonly second: Planner;
  /** Whether an error means that the first is away, rather than that it was asked wrongly. */
  readonly isAway: (error: unknown) => boolean;
  /** Called once, when the second takes over. */
  readonly onFallback: (error: unknown) => void;
}

/** Plans by another planner once the first is away, for the rest of the search: what it knew is not known any more. */
export class FallbackPlanner implements Planner {
  readonly #options: FallbackOptions;
  #away = false;

  constructor(options: FallbackOptions) {
    this.#options = options;
  }

  async ask(count: number, signal: AbortSignal): Promise<PlanState & { readonly asks: readonly Ask[] }> {
    return await this.#either((planner) => planner.ask(count, signal));
  }

  async tell(
    outcome: Outcome,
    signal: AbortSignal,
  ): Promise<PlanState & { readonly searchNodeId?: string | undefined }> {
    return await this.#either((planner) => planner.tell(outcome, signal));
  }

  async #either<Result>(call: (planner: Planner) => Promise<Result>): Promise<Result> {
    const { first, second, isAway, onFallback } = this.#options;
    if (!this.#away) {
      try {
        return await call(first);
      } catch (error) {
        if (!isAway(error)) throw error;
        if (!this.#away) onFallback(error);
        this.#away = true;
      }
    }
    return await call(second);
  }
}
