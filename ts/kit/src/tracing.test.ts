import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import type { HrTime } from "@opentelemetry/api";
import { afterEach, expect, test, vi } from "vitest";
import { Logger } from "./log.js";
import { SpanKind, timeOf } from "./span.js";
import { testConfig, waitUntil } from "./testing/index.js";
import { TraceCollector } from "./testing/trace-collector.js";
import { readTraceParent } from "./trace-context.js";
import { startTracing, type Tracing } from "./tracing.js";

const closers: (() => unknown)[] = [];

afterEach(async () => {
  vi.useRealTimers();
  for (const close of closers.splice(0).reverse()) await close();
});

async function startCollector(port?: number): Promise<TraceCollector> {
  const collector = new TraceCollector();
  await collector.listen(port);
  closers.push(() => collector.stop());
  return collector;
}

function start(endpoint: string): { tracing: Tracing; lines: string[] } {
  const lines: string[] = [];
  const config = testConfig({ OTEL_EXPORTER_OTLP_ENDPOINT: endpoint, UAIT_INSTANCE: "echo-1" });
  const log = Logger.create(config, (line) => lines.push(line));
  const tracing = startTracing(config, log);
  closers.push(() => tracing.shutdown());
  return { tracing, lines };
}

const end = ({ tracer }: Tracing, name: string) => tracer.start(name, SpanKind.SERVER, {}, undefined).end(false);
const endMany = (tracing: Tracing, count: number) => {
  for (let number = 0; number < count; number++) end(tracing, `span-${number}`);
};
const names = (count: number) => Array.from({ length: count }, (_, number) => `span-${number}`);
const received = ({ spans }: TraceCollector) => spans.map(({ name }) => name);
const messages = (lines: readonly string[]) => lines.map((line) => JSON.parse(line).msg);

const base64 = (hex: string) => Buffer.from(hex, "hex").toString("base64");
const nanos = ([seconds, rest]: HrTime) => String(BigInt(seconds) * 1_000_000_000n + BigInt(rest));
const TRACE = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT = "00f067aa0ba902b7";

test("collector_receives_spans_as_they_were_with_the_resource_of_the_process", async () => {
  const collector = await startCollector();
  const { tracing } = start(collector.url);
  const parent = readTraceParent(`00-${TRACE}-${PARENT}-01`, "vendor=x");
  vi.useFakeTimers({ toFake: ["Date", "performance"], now: 1_795_000_000_999 });
  const attributes = Object.freeze({ "rpc.system": "grpc", long: "x".repeat(300) });
  const span = tracing.tracer.start("a.B/C", SpanKind.SERVER, attributes, parent);
  const child = tracing.tracer.start("d.E/F", SpanKind.CLIENT, {}, span.spanContext());
  vi.advanceTimersByTime(2);
  child.end(true);
  for (const [key, value] of Object.entries({ small: -1, large: 2 ** 40, share: 0.5, flag: true })) {
    span.setAttribute(key, value);
  }
  span.end(false);
  span.setAttribute("late", true);
  span.end(true);
  vi.useRealTimers();
  await tracing.shutdown();
  const times = { startTimeUnixNano: "1795000000999000000", endTimeUnixNano: "1795000001001000000" };
  expect(collector.requests).toEqual([
    {
      resourceSpans: [
        {
          resource: {
            attributes: [
              { key: "service.name", value: { stringValue: "echo-test" } },
              { key: "service.instance.id", value: { stringValue: "echo-1" } },
            ],
          },
          scopeSpans: [
            {
              scope: { name: "@uait/kit" },
              spans: [
                {
                  traceId: base64(TRACE),
                  spanId: base64(child.spanContext().spanId),
                  traceState: "vendor=x",
                  parentSpanId: base64(span.spanContext().spanId),
                  name: "d.E/F",
                  kind: 3,
                  ...times,
                  status: { code: 2 },
                  flags: 0x101,
                },
                {
                  traceId: base64(TRACE),
                  spanId: base64(span.spanContext().spanId),
                  traceState: "vendor=x",
                  parentSpanId: base64(PARENT),
                  name: "a.B/C",
                  kind: 2,
                  ...times,
                  attributes: [
                    { key: "rpc.system", value: { stringValue: "grpc" } },
                    { key: "long", value: { stringValue: "x".repeat(300) } },
                    { key: "small", value: { intValue: "-1" } },
                    { key: "large", value: { intValue: String(2 ** 40) } },
                    { key: "share", value: { doubleValue: 0.5 } },
                    { key: "flag", value: { boolValue: true } },
                  ],
                  status: {},
                  flags: 0x301,
                },
              ],
            },
          ],
        },
      ],
    },
  ]);
  expect(attributes).toEqual({ "rpc.system": "grpc", long: "x".repeat(300) });
});

test.each<[number, number, bigint]>([
  [0, 0, 0n],
  [1_795_000_000_123, 0.4564, 1_795_000_000_123_456_000n],
  [1_795_000_000_999, 1.0004, 1_795_000_001_000_000_000n],
  [1_795_000_000_999, 0.9999, 1_795_000_001_000_000_000n],
  [1_795_000_000_000, 86_400_000.25, 1_795_086_400_000_250_000n],
])("time_of_%d_ms_and_%d_ms_more_is_exact_to_the_microsecond", (epochMs, durationMs, expected) => {
  expect(nanos(timeOf(epochMs, durationMs))).toBe(String(expected));
});

test("spans_arrive_once_and_in_order_however_many_end_at_once", async () => {
  const collector = await startCollector();
  const { tracing } = start(collector.url);
  endMany(tracing, 3000);
  await waitUntil("the spans", () => received(collector).length >= 3000);
  expect(received(collector)).toEqual(names(3000));
});

test("span_that_ends_alone_is_sent_without_another", async () => {
  const collector = await startCollector();
  const { tracing } = start(collector.url);
  end(tracing, "span-0");
  await waitUntil("the spans", () => received(collector).length === 1);
  end(tracing, "span-1");
  await waitUntil("the spans", () => received(collector).length === 2);
});

test("spans_that_wait_are_sent_at_shutdown", async () => {
  const collector = await startCollector();
  const { tracing } = start(collector.url);
  endMany(tracing, 2500);
  await tracing.shutdown();
  expect(received(collector).toSorted()).toEqual(names(2500).toSorted());
});

test("collector_that_goes_and_comes_back_is_known_without_a_span_and_told_of_once_each", async () => {
  const first = await startCollector();
  const { tracing, lines } = start(first.url);
  expect(tracing.state).toBe("unknown");
  await waitUntil("it is up", () => tracing.state === "up");
  first.stop();
  await waitUntil("it is down", () => tracing.state === "down");
  end(tracing, "span-0");
  const second = await startCollector(first.port);
  await waitUntil("it is up again", () => tracing.state === "up");
  end(tracing, "span-1");
  await waitUntil("the span", () => received(second).includes("span-1"));
  expect(messages(lines)).toEqual([
    "the trace collector takes no spans; they are dropped",
    "the trace collector is back",
  ]);
});

test("collector_that_refuses_spans_is_down_until_it_takes_them", async () => {
  const collector = await startCollector();
  collector.failing = true;
  const { tracing } = start(collector.url);
  endMany(tracing, 2048);
  await waitUntil("it is down", () => tracing.state === "down");
  collector.failing = false;
  await waitUntil("it is up", () => tracing.state === "up");
});

test("collector_that_is_away_holds_up_neither_spans_nor_the_end", async () => {
  const { tracing, lines } = start("http://127.0.0.1:9");
  endMany(tracing, 10_000);
  await tracing.shutdown();
  expect(lines.map((line) => JSON.parse(line).level)).toEqual(["warn"]);
});

test("collector_that_never_answers_does_not_hold_up_the_end", async () => {
  const silent = createServer().listen(0, "127.0.0.1");
  closers.push(() => silent.close());
  await once(silent, "listening");
  const { tracing, lines } = start(`http://127.0.0.1:${(silent.address() as AddressInfo).port}`);
  end(tracing, "span-0");
  await tracing.shutdown();
  // An export that had its 5 s would have been told of.
  expect(lines).toEqual([]);
});
