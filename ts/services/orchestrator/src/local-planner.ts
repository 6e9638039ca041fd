import { type Ask, type Outcome, type Planner, type PlanState, ROOT } from "./search.js";

export interface LocalPlannerOptions {
  /** Names of the actions, the most promising first; at least one. */
  readonly actions: readonly string[];
  /** Most attempts. */
  readonly maxNodes: number;
  readonly newId: () => string;
}

const GOES_ON: PlanState = { ended: false };

/**
 * Plans fresh attempts only, by each action in turn: the strategies SINGLE, which is one attempt, and BEST_OF; and what is
 * left of a search whose own planner is away.
 */
export class LocalPlanner implements Planner {
  readonly #options: LocalPlannerOptions;
  #asked = 0;

  constructor(options: LocalPlannerOptions) {
    this.#options = options;
  }

  async ask(count: number): Promise<PlanState & { readonly asks: readonly Ask[] }> {
    const { actions, maxNodes, newId } = this.#options;
    const asks: Ask[] = [];
    while (asks.length < count && this.#asked < maxNodes) {
      const action = actions[this.#asked++ % actions.length];
      if (action === undefined) throw new RangeError("no action");
      asks.push({ nodeId: newId(), parentId: ROOT, action, depth: 1 });
    }
    return { asks, ended: false };
  }

  async tell(_outcome: Outcome): Promise<PlanState> {
    return GOES_ON;
  }
}
