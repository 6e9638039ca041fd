import { describe, expect, test } from "vitest";
import { clusterDifference, clusterMean, mean, quantile } from "./intervals.js";
import { randomOf } from "./random.js";
import { KINDS, makeTasks } from "./tasks.js";

describe("tasks", () => {
  test("same_seed_gives_the_same_tasks_and_another_others", () => {
    expect(makeTasks(60, 1)).toEqual(makeTasks(60, 1));
    expect(makeTasks(60, 1)).not.toEqual(makeTasks(60, 2));
  });

  test("sixty_tasks_have_twenty_of_each_kind", () => {
    const tasks = makeTasks(60, 1);
    for (const kind of KINDS) expect(tasks.filter((task) => task.kind === kind).length).toBe(20);
  });

  test("arithmetic_solutions_are_right", () => {
    const operations: Readonly<Record<string, (a: number, b: number) => number>> = {
      "+": (a, b) => a + b,
      "-": (a, b) => a - b,
      "*": (a, b) => a * b,
    };
    for (const { kind, request, solution } of makeTasks(300, 3)) {
      if (kind !== "arithmetic") continue;
      const [, a, operation = "", b] = /What is (\d+) ([-+*]) (\d+)\?/u.exec(request.task ?? "") ?? [];
      expect(operations[operation]?.(Number(a), Number(b))).toBe(Number(solution));
    }
  });

  test("form_of_an_extraction_does_not_tell_what_stands_in_it", () => {
    for (const { kind, request, solution } of makeTasks(60, 3)) {
      if (kind !== "extraction") continue;
      const form = request.output?.form;
      expect(form?.$case).toBe("jsonSchema");
      expect(String(form?.value)).not.toContain("const");
      const order = JSON.parse(solution) as Record<string, string | number>;
      for (const value of Object.values(order)) expect(request.task).toContain(String(value));
    }
  });
});

describe("intervals", () => {
  test("quantile_interpolates", () => {
    expect(quantile([0, 10, 20], 0.5)).toBe(10);
    expect(quantile([0, 10], 0.25)).toBe(2.5);
    expect(() => quantile([], 0.5)).toThrow(RangeError);
  });

  test("interval_holds_the_mean_and_narrows_with_more_tasks", () => {
    const random = randomOf(1);
    const few = Array.from({ length: 20 }, (_, index) => [index % 2]);
    const many = Array.from({ length: 2000 }, (_, index) => [index % 2]);
    const [wide, narrow] = [clusterMean(few, random), clusterMean(many, random)];
    expect(wide.value).toBe(0.5);
    expect(wide.low).toBeLessThan(0.5);
    expect(wide.high).toBeGreaterThan(0.5);
    expect(narrow.high - narrow.low).toBeLessThan((wide.high - wide.low) / 5);
  });

  // A mean of 0.5 over 100 tasks: the normal interval is 0.5 +- 1.96 * 0.05.
  test("interval_of_independent_tasks_is_that_of_the_normal_approximation", () => {
    const { low, high } = clusterMean(
      Array.from({ length: 100 }, (_, index) => [index % 2]),
      randomOf(2),
    );
    expect(low).toBeCloseTo(0.402, 1);
    expect(high).toBeCloseTo(0.598, 1);
  });

  test("seeds_of_a_task_do_not_count_as_tasks", () => {
    const once = Array.from({ length: 30 }, (_, index) => [index % 2]);
    const thrice = once.map(([figure = 0]) => [figure, figure, figure]);
    expect(clusterMean(thrice, randomOf(3))).toEqual(clusterMean(once, randomOf(3)));
  });

  test("difference_is_taken_task_by_task", () => {
    const left = [[1], [0], [1]];
    const { value, low, high } = clusterDifference(left, left, randomOf(4));
    expect([value, low, high]).toEqual([0, 0, 0]);
    expect(mean([1, 0, 1])).toBeCloseTo(2 / 3, 10);
  });
});
