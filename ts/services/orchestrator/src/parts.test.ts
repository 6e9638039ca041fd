import { describe, expect, test } from "vitest";
import { actionsOf, mergeSampling } from "./action.js";
import { DEFAULT_LIMITS, limitsOf } from "./budget.js";
import { loadConfig } from "./config.js";
import { ModelTime } from "./model-time.js";
import { pageTokenOf, positionIn } from "./page-token.js";
import { deriveSeed } from "./seed.js";
import { RunState } from "./vocabulary.js";

describe("limits", () => {
  test("absent_ones_are_the_contracts", () => {
    expect(limitsOf(undefined, undefined)).toEqual(DEFAULT_LIMITS);
  });

  test("wall_time_ends_a_little_before_the_caller_stops_waiting", () => {
    expect(limitsOf(undefined, undefined, 10_000, 500).maxWallTimeMs).toBe(9500);
    expect(limitsOf(undefined, undefined, 100, 500).maxWallTimeMs).toBe(90);
    expect(limitsOf(undefined, 50, 10_000, 500).maxWallTimeMs).toBe(50);
    expect(limitsOf(undefined, undefined, -5, 500).maxWallTimeMs).toBe(1);
  });
});

describe("model time", () => {
  test("calls_at_the_same_time_count_once", () => {
    let now = 0;
    const time = new ModelTime(() => now);
    const at = (ms: number, work: () => void) => {
      now = ms;
      work();
    };
    at(10, () => time.begin());
    at(15, () => time.begin());
    at(20, () => time.end());
    at(30, () => time.end());
    at(50, () => time.begin());
    at(55, () => expect(time.elapsedMs).toBe(25));
    at(60, () => time.end());
    expect(time.elapsedMs).toBe(30);
  });
});

describe("seeds", () => {
  test("derived_seeds_are_the_same_each_time_and_differ_by_purpose", () => {
    expect(deriveSeed(7n, { attempt: 1 })).toBe(deriveSeed(7n, { attempt: 1 }));
    const seeds = [
      deriveSeed(7n, { attempt: 1 }),
      deriveSeed(7n, { attempt: 2 }),
      deriveSeed(7n, "search"),
      deriveSeed(8n, "search"),
    ];
    expect(new Set(seeds).size).toBe(4);
    for (const seed of seeds) expect(seed >= 0n && seed < 2n ** 63n).toBe(true);
  });
});

describe("actions", () => {
  const choice = (agent: string, prompt = agent) => ({
    agent,
    arm: {
      armId: "arm",
      parameters: { model: "m", prompt, sampling: { temperature: 0.5, topK: 3, stop: ["x"] }, extra: {} },
    },
    expectedScore: 0,
    propensity: 0,
    observations: 0,
    why: "",
  });

  test("agents_that_do_not_run_here_and_repeats_are_left_out", () => {
    const actions = actionsOf([choice("direct"), choice("direct"), choice("poet"), choice("dspy")], undefined);
    expect(actions.map(({ name, method }) => [name, method.kind])).toEqual([
      ["direct/arm", "model"],
      ["dspy/arm", "program"],
    ]);
  });

  test("prompt_of_an_arm_may_be_another_agents", () => {
    expect(actionsOf([choice("poet", "reasoner")], undefined)[0]?.method).toEqual({
      kind: "model",
      prompt: "reasoner",
    });
  });

  test("callers_sampling_stands_above_the_arms", () => {
    const merged = mergeSampling({ temperature: 0.5, topK: 3, stop: ["x"] }, { temperature: 1, stop: [] });
    expect(merged).toEqual({ temperature: 1, topK: 3, stop: ["x"] });
  });
});

describe("page tokens", () => {
  const filter = { state: RunState.RUN_STATE_UNSPECIFIED, taskType: "sums" };

  test("token_leads_back_to_its_place_with_the_same_filter_only", () => {
    const token = pageTokenOf({ createMs: 5, runId: "r" }, filter);
    expect(positionIn(token, filter)).toEqual({ createMs: 5, runId: "r" });
    expect(() => positionIn(token, { ...filter, taskType: "" })).toThrow("page_token_invalid");
    expect(positionIn("", filter)).toBeUndefined();
  });

  test.each(["x", "bnVsbA", "W10"])("%s_is_no_token", (token) => {
    expect(() => positionIn(token, filter)).toThrow("page_token_invalid");
  });
});

describe("configuration", () => {
  test.each([
    ["UAIT_NEIGHBOUR_TIMEOUT_MS", "5", "an integer from 10 to 60000"],
    ["UAIT_RUNS_KEPT", "0", "an integer from 1 to 1000000"],
    ["UAIT_SANDBOX_WORKERS", "many", "an integer from 1 to 64"],
  ])("%s_of_%s_refuses_to_start", (name, value, range) => {
    expect(() => loadConfig({ [name]: value })).toThrow(`${name}=${value}: must be ${range}`);
  });

  test("defaults_are_the_catalogues", () => {
    expect(loadConfig({})).toMatchObject({
      service: "orchestrator",
      port: 9001,
      neighbourTimeoutMs: 2000,
      runsKept: 10_000,
    });
  });
});
