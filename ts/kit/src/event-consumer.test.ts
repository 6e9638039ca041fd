import { expect, test } from "vitest";
import { RecentIds, retryDelayMs } from "./event-consumer.js";

test.each([
  [1, 100],
  [2, 200],
  [9, 25_600],
  [10, 30_000],
  [2000, 30_000],
])("retry_after_delivery_%s_waits_%s_ms", (delivery, ms) => {
  expect(retryDelayMs(delivery)).toBe(ms);
});

test("recent_ids_past_their_capacity_forget_the_oldest", () => {
  const ids = new RecentIds(2);
  for (const id of ["a", "b", "a", "c"]) ids.add(id);
  expect(["a", "b", "c"].filter((id) => ids.has(id))).toEqual(["a", "c"]);
});
