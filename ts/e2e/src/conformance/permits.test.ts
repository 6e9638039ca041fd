import { expect, test } from "vitest";
import { Permits } from "./permits.js";

test("work_over_the_number_waits_for_its_turn_even_after_a_failure", async () => {
  const permits = new Permits(2);
  const log: string[] = [];
  const ends: (() => void)[] = [];
  const work = (name: string) => async () => {
    log.push(name);
    await new Promise<void>((resolve) => ends.push(resolve));
    if (name === "a") throw new Error("a failed");
  };
  const all = ["a", "b", "c"].map((name) => permits.hold(work(name)));
  const failed = expect(all[0]).rejects.toThrow("a failed");
  expect(log).toEqual(["a", "b"]);
  ends[0]?.();
  await failed;
  expect(log).toEqual(["a", "b", "c"]);
  for (const end of ends) end();
  await Promise.all(all.slice(1));
});
