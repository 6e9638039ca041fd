import { expect, test } from "vitest";
import { describeError, Logger, type LogLevel } from "./log.js";

function logger(logLevel: LogLevel) {
  const lines: string[] = [];
  return { lines, log: Logger.create({ service: "s", instance: "i", logLevel }, (line) => lines.push(line)) };
}

test("line_is_one_json_object_with_bound_fields_first", () => {
  const { lines, log } = logger("info");
  log.with({ trace_id: "t" }).info('said "so"', { n: 1n, error: new Error("boom"), nothing: undefined });
  expect(lines).toHaveLength(1);
  expect(lines[0]?.endsWith("}\n")).toBe(true);
  const line = JSON.parse(lines[0] ?? "") as Record<string, unknown>;
  expect(Object.keys(line)).toEqual(["time", "level", "msg", "service", "instance", "trace_id", "n", "error"]);
  expect(line).toMatchObject({ level: "info", msg: 'said "so"', service: "s", instance: "i", trace_id: "t", n: 1 });
});

test("line_below_the_level_is_not_written", () => {
  const { lines, log } = logger("warn");
  log.debug("d");
  log.info("i");
  log.warn("w");
  log.error("e");
  expect(lines.map((line) => (JSON.parse(line) as { msg: string }).msg)).toEqual(["w", "e"]);
});

test("line_survives_a_value_that_json_cannot_hold", () => {
  const { lines, log } = logger("info");
  const circular: Record<string, unknown> = {};
  circular["self"] = circular;
  log.info("m", { circular });
  expect(JSON.parse(lines[0] ?? "")).toMatchObject({ circular: "[object Object]" });
});

test("error_is_described_with_its_causes", () => {
  const text = describeError(new Error("outer", { cause: new Error("inner") }));
  expect(text).toMatch(/^Error: outer[\s\S]*caused by Error: inner/);
});
