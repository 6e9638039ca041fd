import { describe, expect, test } from "vitest";
import { BudgetMeter, DEFAULT_LIMITS, type Limits } from "./budget.js";
import { FallbackPlanner } from "./fallback-planner.js";
import { LocalPlanner } from "./local-planner.js";
import {
  type Ask,
  type Attempt,
  type AttemptControl,
  AttemptFailure,
  type Made,
  type Outcome,
  type Planner,
  ROOT,
  type SearchOptions,
} from "./search.js";
import { runSearch } from "./search-loop.js";
import { NO_USAGE } from "./usage.js";
import { BudgetLimit } from "./vocabulary.js";

const FAILURE = { code: 14, reason: "MODEL_UNAVAILABLE", message: "no model", fieldViolations: [] };

/** Attempts whose end the test decides. */
class Makers {
  readonly begun: {
    readonly attempt: Attempt;
    readonly control: AttemptControl;
    readonly end: (made: Made) => void;
  }[] = [];
  most = 0;
  #underWay = 0;

  make = async (attempt: Attempt, control: AttemptControl): Promise<Made> => {
    this.most = Math.max(this.most, ++this.#underWay);
    try {
      return await new Promise<Made>((resolve, reject) => {
        this.begun.push({ attempt, control, end: resolve });
        control.signal.addEventListener("abort", () => reject(control.signal.reason));
        control.stop.addEventListener("abort", () => resolve({ ...made("part"), cut: true }));
        if (control.stop.aborted) resolve({ ...made("part"), cut: true });
      });
    } finally {
      this.#underWay--;
    }
  };
}

function made(text: string, tokens = 10n, cost = 0n): Made {
  const usage = { ...NO_USAGE, inputTokens: tokens, outputTokens: tokens, calls: 1, costMicroUsd: cost };
  return { text, model: "m", usage, cut: false };
}

/** Scores a text by the number in it. */
const scorer: SearchOptions["scorer"] = {
  score: async (_attempt, text) => ({ score: Number(text) || 0, verdicts: [], usage: NO_USAGE }),
  settle: async () => undefined,
};

interface Scene {
  readonly limits?: Partial<Limits>;
  readonly make?: SearchOptions["maker"]["make"];
  readonly more?: Partial<SearchOptions>;
}

function scene({ limits = {}, make, more = {} }: Scene) {
  let id = 0;
  const all = { ...DEFAULT_LIMITS, ...limits };
  const events: string[] = [];
  const cancel = new AbortController();
  const timeUp = new AbortController();
  const options: SearchOptions = {
    planner: new LocalPlanner({ actions: ["a"], maxNodes: all.maxNodes, newId: () => `n${++id}` }),
    maker: { make: make ?? (async () => made("0.5")) },
    scorer,
    meter: new BudgetMeter(all),
    listener: {
      onNode: ({ nodeId }) => events.push(`node ${nodeId}`),
      onDelta: (nodeId, { text }) => events.push(`token ${nodeId} ${text}`),
      onScore: ({ nodeId, score }, best, nodes) => events.push(`score ${nodeId} ${score} ${best} ${nodes}`),
      onFailure: ({ nodeId, failure }) => events.push(`failed ${nodeId} ${failure.reason}`),
    },
    actions: ["a"],
    parallel: 4,
    targetScore: 1,
    signal: cancel.signal,
    timeUp: timeUp.signal,
    now: () => 0,
    ...more,
  };
  return { options, events, cancel, timeUp };
}

const settle = () => new Promise((resolve) => setImmediate(resolve));

describe("search loop", () => {
  test("nodes_end_it_with_the_best_of_all", async () => {
    const scores = [0.25, 0.75, 0.5, 0.75];
    const make = async ({ ordinal }: Attempt) => made(String(scores[ordinal - 1]));
    const { options, events } = scene({ limits: { maxNodes: 4 }, make, more: { parallel: 1 } });
    const result = await runSearch(options);
    expect(result.best?.nodeId).toBe("n2");
    expect(result.endedBy).toBe(BudgetLimit.BUDGET_LIMIT_NODES);
    expect(events).toEqual([
      "node n1",
      "score n1 0.25 true 1",
      "node n2",
      "score n2 0.75 true 2",
      "node n3",
      "score n3 0.5 false 3",
      "node n4",
      "score n4 0.75 false 4",
    ]);
  });

  test("target_ends_it_at_once_and_cuts_off_the_others", async () => {
    const makers = new Makers();
    const { options } = scene({ make: makers.make });
    const search = runSearch(options);
    await settle();
    makers.begun[2]?.end(made("1"));
    const result = await search;
    expect(result.best?.nodeId).toBe("n3");
    expect(result.endedBy).toBeUndefined();
    expect(result.failures.map(({ failure }) => failure.reason)).toEqual(["CANCELLED", "CANCELLED", "CANCELLED"]);
  });

  test("as_many_as_parallel_are_under_way_and_the_next_begins_when_one_ends", async () => {
    const makers = new Makers();
    const { options } = scene({ make: makers.make, limits: { maxNodes: 6 }, more: { parallel: 3 } });
    const search = runSearch(options);
    for (let index = 0; index < 6; index++) {
      await settle();
      expect(makers.begun.length).toBe(Math.min(6, 3 + index));
      makers.begun[index]?.end(made("0.1"));
    }
    expect((await search).nodes.length).toBe(6);
    expect(makers.most).toBe(3);
  });

  test("time_ends_it_with_the_best_so_far", async () => {
    const makers = new Makers();
    const { options, timeUp } = scene({ make: makers.make });
    const search = runSearch(options);
    await settle();
    makers.begun[0]?.end(made("0.5"));
    await settle();
    timeUp.abort();
    const result = await search;
    expect(result.best?.text).toBe("0.5");
    expect(result.endedBy).toBe(BudgetLimit.BUDGET_LIMIT_WALL_TIME);
  });

  test("time_that_ends_before_any_attempt_answers_with_what_there_is_of_one", async () => {
    const makers = new Makers();
    const { options, timeUp } = scene({ make: makers.make });
    const search = runSearch(options);
    await settle();
    timeUp.abort();
    const result = await search;
    expect(result.best?.text).toBe("part");
    expect(result.endedBy).toBe(BudgetLimit.BUDGET_LIMIT_WALL_TIME);
  });

  test("time_that_was_over_before_makes_nothing", async () => {
    const { options, timeUp } = scene({});
    timeUp.abort();
    expect((await runSearch(options)).nodes).toEqual([]);
  });

  test("tokens_end_it_while_they_are_written", async () => {
    const make = async (_: Attempt, control: AttemptControl) => {
      while (!control.stop.aborted) {
        control.onDelta({ text: "x", tokens: 10 });
        await settle();
      }
      return { ...made("0.25"), cut: true };
    };
    const { options, events } = scene({ limits: { maxTokens: 100n }, make, more: { parallel: 2 } });
    const result = await runSearch(options);
    expect(result.endedBy).toBe(BudgetLimit.BUDGET_LIMIT_TOKENS);
    expect(events.filter((event) => event.startsWith("token")).length).toBe(10);
    expect(result.best?.score).toBe(0.25);
  });

  test("attempts_may_write_what_is_left", async () => {
    const left: number[] = [];
    const make = async (_: Attempt, { maxOutputTokens }: AttemptControl) => {
      left.push(maxOutputTokens);
      return made("0.5", 20n);
    };
    const { options } = scene({ limits: { maxTokens: 100n }, make, more: { parallel: 1 } });
    await runSearch(options);
    expect(left).toEqual([100, 60, 20]);
  });

  test("cost_ends_it", async () => {
    const make = async () => made("0.5", 1n, 60n);
    const { options } = scene({ limits: { maxCostMicroUsd: 100n }, make, more: { parallel: 1 } });
    const result = await runSearch(options);
    expect([result.nodes.length, result.endedBy]).toEqual([2, BudgetLimit.BUDGET_LIMIT_COST]);
  });

  test("budget_of_no_cost_allows_what_costs_nothing", async () => {
    const { options } = scene({ limits: { maxCostMicroUsd: 0n, maxNodes: 3 } });
    expect((await runSearch(options)).nodes.length).toBe(3);
  });

  test("cancelling_ends_it_with_the_reason", async () => {
    const makers = new Makers();
    const { options, cancel } = scene({ make: makers.make });
    const search = runSearch(options);
    await settle();
    cancel.abort(new Error("gone"));
    await expect(search).rejects.toThrow("gone");
    expect(makers.begun.every(({ control }) => control.signal.aborted)).toBe(true);
  });

  test("failures_are_told_and_the_search_goes_on", async () => {
    const told: Outcome[] = [];
    const make = async ({ ordinal }: Attempt) => {
      if (ordinal % 2 === 1)
        throw new AttemptFailure({ failure: FAILURE, usage: NO_USAGE, permanent: false, cause: "c" });
      return made("0.5");
    };
    const { options } = scene({ limits: { maxNodes: 4 }, make });
    const { planner } = options;
    const telling: Planner = {
      ask: (count, signal) => planner.ask(count, signal),
      tell: (outcome, signal) => {
        told.push(outcome);
        return planner.tell(outcome, signal);
      },
    };
    const result = await runSearch({ ...options, planner: telling });
    expect([result.nodes.length, result.failures.length]).toEqual([2, 2]);
    expect(
      told
        .filter((outcome) => "failure" in outcome)
        .map(({ nodeId }) => nodeId)
        .sort(),
    ).toEqual(["n1", "n3"]);
  });

  test("search_in_which_all_fail_has_the_cause_and_no_best", async () => {
    const make = async () => {
      throw new AttemptFailure({ failure: FAILURE, usage: NO_USAGE, permanent: false, cause: "the cause" });
    };
    const { options } = scene({ limits: { maxNodes: 3 }, make });
    const result = await runSearch(options);
    expect([result.best, result.cause, result.failures.length]).toEqual([undefined, "the cause", 3]);
  });

  test("actions_that_fail_whatever_the_attempt_end_it_when_none_is_left", async () => {
    let calls = 0;
    const make = async () => {
      calls++;
      throw new AttemptFailure({ failure: FAILURE, usage: NO_USAGE, permanent: true, cause: "unknown model" });
    };
    const { options } = scene({ make, more: { parallel: 1 } });
    const result = await runSearch(options);
    expect([calls, result.failures.length, result.cause]).toEqual([1, 1, "unknown model"]);
  });

  test("refinement_is_given_the_attempt_that_it_refines", async () => {
    const parents: (string | undefined)[] = [];
    const plan: Ask[] = [
      { nodeId: "n1", parentId: ROOT, action: "a", depth: 1 },
      { nodeId: "n2", parentId: "n1", action: "a", depth: 2 },
    ];
    const planner: Planner = {
      async ask() {
        const ask = plan.shift();
        return ask === undefined ? { asks: [], ended: true } : { asks: [ask], ended: false };
      },
      tell: async ({ nodeId }) => ({ ended: false, searchNodeId: `s-${nodeId}` }),
    };
    const make = async ({ parent }: Attempt) => {
      parents.push(parent?.text);
      return made("0.5");
    };
    const { options } = scene({ make, more: { planner, parallel: 1 } });
    const result = await runSearch(options);
    expect(parents).toEqual([undefined, "0.5"]);
    expect(result.nodes.map(({ searchNodeId }) => searchNodeId)).toEqual(["s-n1", "s-n2"]);
  });

  test("planner_that_goes_away_is_replaced_for_the_rest", async () => {
    let asked = 0;
    const first: Planner = {
      async ask() {
        if (++asked > 1) throw new Error("away");
        return { asks: [{ nodeId: "first", parentId: ROOT, action: "a", depth: 1 }], ended: false };
      },
      tell: async () => ({ ended: false }),
    };
    const away: unknown[] = [];
    let id = 0;
    const second = new LocalPlanner({ actions: ["a"], maxNodes: 16, newId: () => `second${++id}` });
    const planner = new FallbackPlanner({ first, second, isAway: () => true, onFallback: (error) => away.push(error) });
    const { options } = scene({ limits: { maxNodes: 4 }, more: { planner, parallel: 1 } });
    const result = await runSearch(options);
    expect(result.nodes.map(({ nodeId }) => nodeId)).toEqual(["first", "second1", "second2", "second3"]);
    expect(away.length).toBe(1);
  });
});
