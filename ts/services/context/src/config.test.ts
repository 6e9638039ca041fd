import { expect, test } from "vitest";
import { loadConfig } from "./config.js";

test("time_of_a_source_is_two_seconds_unless_told", () => {
  expect(loadConfig({}).sourceTimeoutMs).toBe(2000);
  expect(loadConfig({ CONTEXT_SOURCE_TIMEOUT_MS: "50" }).sourceTimeoutMs).toBe(50);
});

test("time_of_a_source_out_of_range_is_refused", () => {
  expect(() => loadConfig({ CONTEXT_SOURCE_TIMEOUT_MS: "0" })).toThrow(
    "CONTEXT_SOURCE_TIMEOUT_MS=0: must be an integer from 1 to 60000",
  );
});
