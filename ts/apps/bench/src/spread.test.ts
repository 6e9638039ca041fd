import { expect, test } from "vitest";
import { show, spread } from "./spread.js";

test("spread_of_odd_count_takes_the_middle", () => {
  expect(spread([3, 1, 2])).toEqual({ median: 2, min: 1, max: 3, n: 3 });
});

test("spread_of_even_count_takes_the_mean_of_the_middle_two", () => {
  expect(spread([4, 1, 2, 10]).median).toBe(3);
});

test("spread_of_nothing_throws", () => {
  expect(() => spread([])).toThrow(RangeError);
});

test("show_prints_median_and_extremes", () => {
  expect(show(spread([1, 2, 4]), 1)).toBe("2.0 (1.0-4.0)");
});
