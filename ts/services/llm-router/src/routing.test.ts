import { describe, expect, test } from "vitest";
import { costMicroUsd, highestCostMicroUsd, type Model, NO_NEEDS, type Price } from "./model.js";
import { Quality } from "./quality.js";
import { ANY, type KnownModel, type Requirements, type RoutingInput, weigh } from "./routing.js";
import { Statistics } from "./statistics.js";

const NOW = 10_000_000;
const price = (input: number, output = input): Price => ({
  inputMicroUsd: input,
  cachedInputMicroUsd: input / 2,
  outputMicroUsd: output,
});
const model = (name: string, over: Partial<Model> = {}): Model => ({
  name,
  upstreamName: name,
  upstream: "up",
  capabilities: new Set(),
  contextTokens: 1000,
  price: price(1_000_000),
  extensions: new Set(),
  maxStops: 4,
  ...over,
});
const known = (each: Model, over: Partial<KnownModel> = {}, ttft?: number): KnownModel => ({
  model: each,
  available: true,
  statistics: { calls: 1, medianTimeToFirstTokenMs: ttft, errorRate: 0, restsUntilMs: 0 },
  quality: undefined,
  ...over,
});
const order = (over: Partial<RoutingInput>) =>
  weigh({ route: ANY, known: [], needs: NO_NEEDS, inputTokens: 100, maxOutputTokens: 100, nowMs: NOW, ...over }).map(
    ({ model: { name }, eligible }) => (eligible ? name : `-${name}`),
  );
const requirements = (over: Partial<Requirements>): RoutingInput["route"] => ({
  target: {
    requirements: {
      capabilities: [],
      maxCostMicroUsd: undefined,
      maxTimeToFirstTokenMs: undefined,
      minContextTokens: 0,
      prefer: "cost",
      ...over,
    },
  },
  fallbacks: [],
});

describe("order", () => {
  const cheap = known(model("cheap", { price: price(1) }), {}, 900);
  const fast = known(model("fast", { price: price(5) }), { quality: 0.2 }, 10);
  const good = known(model("good", { price: price(9) }), { quality: 0.9 }, 500);
  const all = [good, fast, cheap];

  test("route_absent_is_cheapest_first", () => expect(order({ known: all })).toEqual(["cheap", "fast", "good"]));
  test("latency_preferred_is_fastest_first", () =>
    expect(order({ known: all, route: requirements({ prefer: "latency" }) })).toEqual(["fast", "good", "cheap"]));
  test("quality_preferred_is_best_scored_first", () =>
    expect(order({ known: all, route: requirements({ prefer: "quality" }) })).toEqual(["good", "fast", "cheap"]));
  test("model_named_comes_first_then_fallbacks_and_nobody_else", () =>
    expect(order({ known: all, route: { target: { model: "good" }, fallbacks: ["cheap"] } })).toEqual([
      "good",
      "cheap",
      "-fast",
    ]));
  test("upstream_that_does_not_answer_is_tried_last", () =>
    expect(order({ known: [{ ...cheap, available: false }, fast] })).toEqual(["fast", "cheap"]));
  test("model_that_rests_is_tried_last_until_its_time", () => {
    const resting = { ...cheap, statistics: { ...cheap.statistics, restsUntilMs: NOW + 1 } };
    expect(order({ known: [resting, fast] })).toEqual(["fast", "cheap"]);
    expect(order({ known: [resting, fast], nowMs: NOW + 1 })).toEqual(["cheap", "fast"]);
  });
  test("fallbacks_come_after_whatever_fits", () =>
    expect(order({ known: all, route: { ...requirements({ prefer: "latency" }), fallbacks: ["fast"] } })).toEqual([
      "good",
      "cheap",
      "fast",
    ]));
});

describe("requirements", () => {
  const tools = known(model("tools", { capabilities: new Set(["tools"] as const) }), {}, 500);
  const plain = known(model("plain"), {}, undefined);

  test.for([
    ["capability", { capabilities: ["tools"] }, ["tools", "-plain"]],
    ["cost", { maxCostMicroUsd: 199 }, ["-tools", "-plain"]],
    ["time_unknown_is_let_pass", { maxTimeToFirstTokenMs: 100 }, ["plain", "-tools"]],
    ["context", { minContextTokens: 1001 }, ["-tools", "-plain"]],
  ] as [string, Partial<Requirements>, string[]][])("requirement_of_%s", ([, each, expected]) => {
    expect(order({ known: [tools, plain], route: requirements(each) })).toEqual(expected);
  });

  test("need_of_the_request_holds_for_named_models_too", () => {
    const needs = { ...NO_NEEDS, capabilities: new Set(["tools"] as const) };
    expect(order({ known: [plain], needs, route: { target: { model: "plain" }, fallbacks: [] } })).toEqual(["-plain"]);
    expect(order({ known: [plain], needs: { ...NO_NEEDS, stops: 5 } })).toEqual(["-plain"]);
    expect(order({ known: [plain], needs: { ...NO_NEEDS, oneOf: ["json_schema", "grammar"] } })).toEqual(["-plain"]);
  });
});

describe("cost", () => {
  test("cached_input_costs_less_and_parts_of_a_micro_usd_count_whole", () => {
    const tokens = { inputTokens: 3, cachedInputTokens: 2, outputTokens: 1, reasoningTokens: 0 };
    expect(costMicroUsd(price(1_000_000), tokens)).toBe(3);
    expect(costMicroUsd(price(1), tokens)).toBe(1);
  });

  test("highest_cost_is_that_of_the_longest_output", () => {
    expect(highestCostMicroUsd(model("m"), 100, 50)).toBe(150);
    expect(highestCostMicroUsd(model("m"), 100, 0)).toBe(1000);
    expect(highestCostMicroUsd(model("m", { contextTokens: 0 }), 100, 0)).toBeUndefined();
    expect(highestCostMicroUsd(model("m", { contextTokens: 0, price: price(0) }), 100, 0)).toBe(0);
  });
});

describe("statistics", () => {
  test("figures_are_those_of_the_last_hour", () => {
    const statistics = new Statistics();
    const sample = (atMs: number, ms: number | undefined, failed = false) =>
      statistics.record("m", { atMs, failed, timeToFirstTokenMs: ms });
    sample(0, 5000);
    for (const ms of [30, 10, 20]) sample(3_000_000, ms);
    sample(3_000_000, undefined, true);
    expect(statistics.of("m", 3_000_000)).toMatchObject({ calls: 5, medianTimeToFirstTokenMs: 25, errorRate: 0.2 });
    expect(statistics.of("m", 3_600_000)).toMatchObject({ calls: 4, medianTimeToFirstTokenMs: 20, errorRate: 0.25 });
    expect(statistics.of("m", 9_000_000)).toMatchObject({
      calls: 0,
      medianTimeToFirstTokenMs: undefined,
      errorRate: 0,
    });
    expect(statistics.of("n", 0)).toMatchObject({ calls: 0 });
  });

  test("score_moves_a_tenants_mean_only", () => {
    const quality = new Quality();
    quality.record("acme", "code", "m", 1);
    quality.record("acme", "code", "m", 0);
    expect(quality.of("acme", "code", "m")).toBeCloseTo(0.9);
    expect(quality.of("globex", "code", "m")).toBeUndefined();
    expect(quality.of("acme", "writing", "m")).toBeUndefined();
  });
});
