import type { FeedbackRequest } from "@uait/gen/uait/ab_mcts/v1/ab_mcts.js";
import type { Node, Outcome, Search, SearchSpec } from "@uait/gen/uait/ab_mcts/v1/search.js";
import { SearchSpec as SearchSpecMessage, SearchState } from "@uait/gen/uait/ab_mcts/v1/search.js";
import { NO_USAGE } from "../usage.js";
import { BudgetLimit } from "../vocabulary.js";

const ROOT: Node = {
  nodeId: "root",
  parentId: "",
  action: "",
  depth: 0,
  score: 0,
  state: new Uint8Array(),
  usage: undefined,
  order: 0,
  createTime: undefined,
};

/** A search that widens first and then refines its best node each second time. */
export class TreeStub {
  readonly nodes: Node[] = [];
  readonly failed: string[] = [];
  readonly feedback: FeedbackRequest[] = [];
  spec: SearchSpec = SearchSpecMessage.fromPartial({});
  readonly #asks = new Map<string, { readonly parent: Node; readonly action: string }>();
  #asked = 0;

  create(spec: SearchSpec | undefined): Search {
    this.spec = spec ?? this.spec;
    this.#asked = 0;
    this.nodes.length = 0;
    this.failed.length = 0;
    return this.search();
  }

  search(): Search {
    return {
      searchId: "search-1",
      spec: this.spec,
      ...this.#state(),
      nodes: this.nodes.length,
      failed: this.failed.length,
      pending: this.#asks.size,
      usage: NO_USAGE,
      best: this.#best,
      sequence: 0n,
      createTime: undefined,
      updateTime: undefined,
    };
  }

  ask(count: number) {
    const { maxNodes = 10_000 } = this.spec.budget ?? {};
    const asks = [];
    while (asks.length < count && this.#asked < maxNodes) {
      const action = this.spec.actions[this.#asked % this.spec.actions.length]?.name ?? "";
      const refined = this.#asked % 2 === 1 ? this.#best : undefined;
      const askId = `ask-${++this.#asked}`;
      const parent = refined ?? ROOT;
      this.#asks.set(askId, { parent, action });
      asks.push({ askId, parent, action, expireTime: undefined });
    }
    return { asks, ...this.#state() };
  }

  tell(outcomes: readonly Outcome[]) {
    const told = outcomes.map(({ askId, outcome }) => {
      const ask = this.#asks.get(askId);
      this.#asks.delete(askId);
      if (ask === undefined || outcome === undefined) throw new Error(`nobody asked ${askId}`);
      if (outcome.$case === "failed") {
        this.failed.push(askId);
        return { askId, result: { $case: "failed" as const, value: {} }, repeatedTell: false };
      }
      const { score, state, usage } = outcome.value;
      const { parent, action } = ask;
      const order = this.nodes.length + 1;
      const node = {
        ...ROOT,
        nodeId: `node-${order}`,
        parentId: parent.nodeId,
        action,
        depth: parent.depth + 1,
        score,
        state,
        usage,
        order,
      };
      this.nodes.push(node);
      return { askId, result: { $case: "node" as const, value: node }, repeatedTell: false };
    });
    return { told, ...this.#state() };
  }

  get #best(): Node | undefined {
    return this.nodes.reduce<Node | undefined>(
      (best, node) => (best === undefined || node.score > best.score ? node : best),
      undefined,
    );
  }

  #state() {
    const target = this.spec.targetScore ?? 2;
    const { maxNodes = 10_000 } = this.spec.budget ?? {};
    const spent = this.nodes.length + this.failed.length >= maxNodes;
    const ended = spent || this.nodes.some(({ score }) => score >= target);
    return {
      state: ended ? SearchState.SEARCH_STATE_ENDED : SearchState.SEARCH_STATE_RUNNING,
      endedBy: spent ? BudgetLimit.BUDGET_LIMIT_NODES : BudgetLimit.BUDGET_LIMIT_UNSPECIFIED,
    };
  }
}
