import { expect, test } from "vitest";
import { cpuSeconds, residentBytes } from "./usage.js";

test("cpu_of_a_busy_process_rises", async () => {
  const before = await cpuSeconds(process.pid);
  const end = process.cpuUsage().user + 200_000;
  while (process.cpuUsage().user < end);
  expect((await cpuSeconds(process.pid)) - before).toBeGreaterThan(0.15);
});

test("resident_memory_is_near_what_node_says", async () => {
  const ours = await residentBytes(process.pid);
  expect(Math.abs(ours - process.memoryUsage().rss) / ours).toBeLessThan(0.2);
});
