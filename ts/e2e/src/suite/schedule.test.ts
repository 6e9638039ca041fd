import { expect, test } from "vitest";
import { type Outcome, type Step, schedule } from "./schedule.js";

/** A runner that records how many steps ran at once and lets the named steps fail. */
function recorder(failing: readonly string[] = []) {
  const begun: string[] = [];
  let now = 0;
  let most = 0;
  let aloneWith = 0;
  const run = async (step: Step): Promise<Outcome> => {
    begun.push(step.name);
    now += 1;
    most = Math.max(most, now);
    if (step.alone === true) aloneWith = Math.max(aloneWith, now);
    await new Promise((resolve) => setImmediate(resolve));
    now -= 1;
    const failed = failing.includes(step.name) ? 1 : 0;
    return { step, count: { passed: 1 - failed, failed }, seconds: 0, processorSeconds: 0, output: "" };
  };
  return { run, begun, most: () => most, aloneWith: () => aloneWith };
}

test("steps_run_after_those_they_name", async () => {
  const { run, begun } = recorder();
  await schedule(
    [
      { name: "b", run: "", after: ["a"] },
      { name: "a", run: "" },
    ],
    2,
    run,
  );
  expect(begun).toEqual(["a", "b"]);
});

test("steps_fill_the_lanes_and_no_more", async () => {
  const { run, most } = recorder();
  await schedule(
    ["a", "b", "c", "d"].map((name) => ({ name, run: "" })),
    2,
    run,
  );
  expect(most()).toBe(2);
});

test("step_alone_has_no_company", async () => {
  const { run, aloneWith, begun } = recorder();
  await schedule(
    [
      { name: "a", run: "" },
      { name: "b", run: "", alone: true },
      { name: "c", run: "" },
    ],
    2,
    run,
  );
  expect(aloneWith()).toBe(1);
  expect(begun).toHaveLength(3);
});

test("step_after_a_failed_one_is_left_out_and_counts_as_failed", async () => {
  const { run, begun } = recorder(["a"]);
  const outcomes = await schedule(
    [
      { name: "a", run: "" },
      { name: "b", run: "", after: ["a"] },
      { name: "c", run: "", after: ["b"] },
      { name: "d", run: "" },
    ],
    2,
    run,
  );
  expect(begun).toEqual(["a", "d"]);
  expect(outcomes.map((outcome) => outcome.count.failed)).toEqual([1, 1, 1, 0]);
});

test("step_after_an_unknown_one_is_an_error", async () => {
  const { run } = recorder();
  await expect(schedule([{ name: "a", run: "", after: ["nowhere"] }], 2, run)).rejects.toThrow("a");
});
