import type { SurroundingState } from "@uait/kit";
import { expect, test } from "vitest";
import { lackOf } from "./surroundings.js";

test.each<[SurroundingState, SurroundingState, string[]]>([
  ["up", "up", []],
  ["off", "off", []],
  ["unknown", "unknown", []],
  ["down", "up", ["jaeger"]],
  ["up", "down", ["intelligent-load-balancer"]],
  ["down", "down", ["jaeger", "intelligent-load-balancer"]],
])("traces_%s_and_lease_%s_lack_%j", (traces, lease, expected) => {
  const lack = lackOf({ traces, lease });
  expect(lack.map(({ dependency }) => dependency)).toEqual(expected);
  for (const { failure } of lack) expect(failure).toMatchObject({ code: 14, reason: "DEPENDENCY_UNAVAILABLE" });
});
