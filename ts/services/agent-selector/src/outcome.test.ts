import { Status } from "@uait/kit";
import { expect, test } from "vitest";
import { rewardOf } from "./outcome.js";

test("score_is_the_reward", () => {
  expect([0, 0.3, 1].map((score) => rewardOf({ score }))).toEqual([0, 0.3, 1]);
});

test("failure_counts_as_0_unless_it_is_not_the_agents", () => {
  const codes = Array.from({ length: 16 }, (_, index) => index + 1);
  expect(codes.filter((code) => rewardOf({ code }) === undefined)).toEqual([
    Status.CANCELLED,
    Status.PERMISSION_DENIED,
    Status.RESOURCE_EXHAUSTED,
    Status.UNAVAILABLE,
    Status.UNAUTHENTICATED,
  ]);
  expect(new Set(codes.map((code) => rewardOf({ code })))).toEqual(new Set([undefined, 0]));
});
