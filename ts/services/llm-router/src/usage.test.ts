import { expect, test } from "vitest";
import { NOTHING } from "./budget.js";
import { type LoggedCall, rowKey, type UsageQuery, UsageSums } from "./usage.js";

const call = (over: Partial<Omit<LoggedCall, "dimensions">> & { model?: string; agent?: string } = {}): LoggedCall => {
  const { model = "m", agent = "a", ...rest } = over;
  return {
    atMs: 1000,
    dimensions: { model, upstream: "u", task_type: "t", agent, subject: "s", run: "r" },
    spent: { ...NOTHING, inputTokens: 1, calls: 1 },
    attempt: 1,
    failed: false,
    request: "q",
    ...rest,
  };
};
const sums = (calls: readonly LoggedCall[], over: Partial<UsageQuery> = {}) => {
  const made = new UsageSums({ startMs: 0, endMs: 100_000, stepMs: undefined, groupBy: [], ...over });
  for (const each of calls) made.add(each);
  return made.rows().sort((a, b) => (rowKey(a) < rowKey(b) ? -1 : 1));
};

test("calls_without_groups_are_one_sum_of_the_range", () => {
  const calls = [call(), call({ atMs: 99_999 }), call({ atMs: 100_000 }), call({ atMs: -1 })];
  expect(sums(calls)).toMatchObject([{ startMs: 0, group: [], spent: { inputTokens: 2, calls: 2 }, failedCalls: 0 }]);
});

test("calls_are_grouped_by_step_and_dimensions_in_their_order", () => {
  const calls = [call({ agent: "b" }), call(), call({ atMs: 60_000, model: "n" })];
  expect(sums(calls, { stepMs: 60_000, groupBy: ["model", "agent"] })).toMatchObject([
    { startMs: 0, group: ["m", "a"] },
    { startMs: 0, group: ["m", "b"] },
    { startMs: 60_000, group: ["n", "a"] },
  ]);
});

test("request_that_a_later_model_answered_did_not_fail", () => {
  const calls = [call({ failed: true }), call({ attempt: 2, model: "n" }), call({ request: "p", failed: true })];
  expect(sums(calls)).toMatchObject([{ failedCalls: 1, spent: { calls: 3 } }]);
});

test("request_that_failed_at_every_model_counts_once_at_the_last", () => {
  const calls = [call({ failed: true }), call({ attempt: 2, model: "n", failed: true })];
  expect(sums(calls, { groupBy: ["model"] })).toMatchObject([
    { group: ["m"], failedCalls: 0 },
    { group: ["n"], failedCalls: 1 },
  ]);
});
