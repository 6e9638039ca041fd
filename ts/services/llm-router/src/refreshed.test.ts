import { expect, test } from "vitest";
import { Refreshed } from "./refreshed.js";

const turn = () => new Promise((resolve) => setImmediate(resolve));

test("value_that_is_old_is_had_at_once_and_asked_for_beside", async () => {
  let nowMs = 0;
  let asked = 0;
  const value = new Refreshed<number>({ maxAgeMs: 10, now: () => nowMs });
  const ask = async () => ++asked;
  expect(await value.get(ask)).toBe(1);
  nowMs = 9;
  expect(await value.get(ask)).toBe(1);
  nowMs = 10;
  expect(await value.get(ask)).toBe(1);
  await turn();
  expect([asked, await value.get(ask)]).toEqual([2, 2]);
});

test("those_who_come_at_once_ask_together", async () => {
  let asked = 0;
  const value = new Refreshed<number>({ maxAgeMs: 10, now: () => 0 });
  const ask = async () => ++asked;
  expect(await Promise.all([value.get(ask), value.get(ask), value.refresh(ask)])).toEqual([1, 1, 1]);
  expect(await value.refresh(ask)).toBe(2);
});

test("failure_of_the_first_is_told_and_the_next_asks_again", async () => {
  const value = new Refreshed<number>({ maxAgeMs: 10, now: () => 0 });
  await expect(value.get(() => Promise.reject(new Error("no")))).rejects.toThrow("no");
  expect(await value.get(async () => 1)).toBe(1);
});
