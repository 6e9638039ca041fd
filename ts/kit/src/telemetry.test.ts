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

test.each([
  [undefined],
  [""],
  ["00-00000000000000000000000000000000-00f067aa0ba902b7-01"],
  ["00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01"],
  ["ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"],
  ["00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01"],
  [`${PARENT}-more`],
  [`${PARENT}\n`],
  ["nonsense"],
])("trace_parent_%s_is_none", (value) => {
  expect(readTraceParent(value)).toBeUndefined();
});

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

test("trace_parent_of_a_later_version_is_read_as_far_as_it_is_known", () => {
  expect(readTraceParent(`01${PARENT.slice(2)}-more`)?.spanId).toBe("00f067aa0ba902b7");
});

test.each([
  ["01", true],
  ["00", false],
  ["03", true],
  ["02", false],
])("parents_decision_%s_is_kept_whatever_the_ratio", async (flags, recorded) => {
  for (const ratio of ["0", "1"]) {
    const telemetry = await startTelemetry(testConfig({ OTEL_SDK_DISABLED: "false", OTEL_TRACES_SAMPLER_ARG: ratio }));
    const parent = readTraceParent(PARENT.slice(0, -2) + flags);
    expect(telemetry.startSpan("a", SpanKind.SERVER, {}, parent).isRecording()).toBe(recorded);
  }
});

test("roots_are_sampled_by_their_share_and_say_so_to_the_next_hop", async () => {
  const telemetry = await startTelemetry(testConfig({ OTEL_SDK_DISABLED: "false", OTEL_TRACES_SAMPLER_ARG: "0.25" }));
  const spans = Array.from({ length: 4000 }, () => telemetry.startSpan("a", SpanKind.SERVER, {}, undefined));
  const sampled = spans.filter((span) => span.isRecording());
  // Ten standard deviations of a binomial distribution.
  expect(Math.abs(sampled.length - 1000)).toBeLessThan(275);
  for (const span of spans) {
    expect(formatTraceParent(span.spanContext()).endsWith(span.isRecording() ? "-01" : "-00")).toBe(true);
  }
  expect(new Set(spans.map((span) => span.spanContext().spanId)).size).toBe(4000);
  expect(new Set(spans.map((span) => span.spanContext().traceId)).size).toBe(4000);
});
