import { expect, test } from "vitest";
import { mismatch } from "./matching.js";

test.each([
  [{ a: 1 }, { a: 1, b: 2 }],
  [{ a: { b: "~^x" } }, { a: { b: "xyz" } }],
  ["~^[1-9]", 12],
  [
    [{ a: 1 }, {}],
    [{ a: 1, b: 2 }, { c: 3 }],
  ],
])("%j_matches_%j", (expected, came) => {
  expect(mismatch(expected, came)).toBeUndefined();
});

test.each([
  [{ a: 1 }, {}, "a: expected 1, came undefined"],
  [{ a: { b: "~^x" } }, { a: { b: "y" } }, 'a.b: expected "~^x", came "y"'],
  [["a"], ["a", "b"], 'value: expected ["a"], came ["a","b"]'],
  [{ a: [{ b: 1 }] }, { a: [{ b: 2 }] }, "a[0].b: expected 1, came 2"],
  ["~.", "", 'value: expected "~.", came ""'],
  [{ a: 1 }, ["a"], 'value: expected {"a":1}, came ["a"]'],
  ["1", 1, 'value: expected "1", came 1'],
])("%j_does_not_match_%j", (expected, came, error) => {
  expect(mismatch(expected, came)).toBe(error);
});
