import { expect, test } from "vitest";
import { Status } from "./status.js";
import { endSpan, formatTraceParent, readTraceParent, SpanKind, startTelemetry } from "./telemetry.js";
import { testConfig } from "./testing/echo-server.js";

const PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

test("trace_parent_survives_a_round_trip", () => {
  const parent = readTraceParent(PARENT, "vendor=value");
  expect(parent && formatTraceParent(parent)).toBe(PARENT);
  expect(parent?.traceState?.serialize()).toBe("vendor=value");
});

test.each([[undefined], [""], ["00-00000000000000000000000000000000-00f067aa0ba902b7-01"], ["nonsense"]])(
  "trace_parent_%s_is_none",
  (value) => {
    expect(readTraceParent(value)).toBeUndefined();
  },
);

test("telemetry_when_disabled_forwards_the_trace_and_begins_none", async () => {
  const telemetry = await startTelemetry(testConfig());
  const child = telemetry.startSpan("a", SpanKind.SERVER, {}, readTraceParent(PARENT));
  expect(formatTraceParent(child.spanContext())).toBe(PARENT);
  const root = telemetry.startSpan("a", SpanKind.SERVER, {}, undefined);
  expect(formatTraceParent(root.spanContext())).toBe("");
  endSpan(child, Status.OK, SpanKind.SERVER);
  await telemetry.shutdown();
});

test("telemetry_keeps_the_parents_decision_and_samples_roots_by_the_ratio", async () => {
  const telemetry = await startTelemetry(testConfig({ OTEL_SDK_DISABLED: "false", OTEL_TRACES_SAMPLER_ARG: "0" }));
  const root = telemetry.startSpan("a", SpanKind.SERVER, {}, undefined);
  expect(root.isRecording()).toBe(false);
  const child = telemetry.startSpan("a", SpanKind.SERVER, {}, readTraceParent(PARENT));
  expect(child.isRecording()).toBe(true);
  expect(child.spanContext().traceId).toBe(PARENT.split("-")[1]);
});
