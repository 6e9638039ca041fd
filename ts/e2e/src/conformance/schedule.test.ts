import { expect, test } from "vitest";
import { schedule } from "./schedule.js";

const items = ["a1", "a2", "b1", "a3", "c1", "b2"].map((name) => ({ name, slot: name.slice(0, 1) }));

/** Runs the items and says which were under way together, each time one began. */
async function underWay(lanes: number): Promise<string[]> {
  const running = new Set<string>();
  const seen: string[] = [];
  await schedule(items, lanes, async ({ name }) => {
    running.add(name);
    seen.push([...running].join(" "));
    await Promise.resolve();
    running.delete(name);
  });
  return seen;
}

test("items_of_one_slot_run_one_after_the_other_and_others_pass_them", async () => {
  expect(await underWay(2)).toEqual(["a1", "a1 b1", "a2", "a2 c1", "a3", "a3 b2"]);
});

test("one_lane_keeps_the_order", async () => {
  expect(await underWay(1)).toEqual(["a1", "a2", "b1", "a3", "c1", "b2"]);
});

test("nothing_to_run_ends_at_once", async () => {
  await expect(schedule([], 3, () => Promise.reject(new Error("never")))).resolves.toBeUndefined();
});

test("failure_of_an_item_is_the_schedules", async () => {
  await expect(schedule(items, 2, () => Promise.reject(new Error("no room")))).rejects.toThrow("no room");
});
