import { expect, test } from "vitest";
import { KeyedWaiters } from "./keyed-waiters.js";

const never = new AbortController().signal;

test("value_known_before_is_had_at_once_and_one_known_after_is_waited_for", async () => {
  const waiters = new KeyedWaiters<number>(2);
  waiters.set("a", 1);
  expect(await waiters.wait("a", never)).toBe(1);
  const both = Promise.all([waiters.wait("b", never), waiters.wait("b", never)]);
  waiters.set("b", 2);
  expect(await both).toEqual([2, 2]);
});

test("values_past_the_capacity_push_out_the_oldest", () => {
  const waiters = new KeyedWaiters<number>(2);
  waiters.set("a", 1);
  waiters.set("b", 2);
  waiters.set("a", 3);
  waiters.set("c", 4);
  expect([waiters.get("a"), waiters.get("b"), waiters.get("c")]).toEqual([3, undefined, 4]);
});

test("wait_that_is_aborted_ends_with_the_reason_and_leaves_others_waiting", async () => {
  const waiters = new KeyedWaiters<number>(2);
  const abort = new AbortController();
  const given = waiters.wait("a", abort.signal);
  const other = waiters.wait("a", never);
  abort.abort(new Error("enough"));
  await expect(given).rejects.toThrow("enough");
  await expect(waiters.wait("a", abort.signal)).rejects.toThrow("enough");
  waiters.set("a", 1);
  expect(await other).toBe(1);
});
