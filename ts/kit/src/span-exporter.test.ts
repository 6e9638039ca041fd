import { Server, ServerCredentials, type ServerUnaryCall, type sendUnaryData, status } from "@grpc/grpc-js";
import { afterEach, expect, test } from "vitest";
import { Logger } from "./log.js";
import { SpanKind, Tracer } from "./span.js";
import { SpanExporter } from "./span-exporter.js";
import { waitUntil } from "./testing/index.js";

const closers: (() => void)[] = [];

afterEach(() => {
  for (const close of closers.splice(0).reverse()) close();
});

interface Collector {
  readonly url: string;
  readonly requests: Buffer[];
  failing: boolean;
}

async function startCollector(): Promise<Collector> {
  const server = new Server();
  const bytes = { serialize: (value: Buffer) => value, deserialize: (value: Buffer) => value };
  const collector = { url: "", requests: [] as Buffer[], failing: false };
  server.addService(
    {
      export: {
        path: "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
        requestStream: false,
        responseStream: false,
        requestSerialize: bytes.serialize,
        requestDeserialize: bytes.deserialize,
        responseSerialize: bytes.serialize,
        responseDeserialize: bytes.deserialize,
      },
    },
    {
      export(call: ServerUnaryCall<Buffer, Buffer>, callback: sendUnaryData<Buffer>) {
        if (collector.failing) return callback({ code: status.UNAVAILABLE, details: "full disk" });
        collector.requests.push(call.request);
        callback(null, Buffer.alloc(0));
      },
    },
  );
  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    ),
  );
  closers.push(() => server.forceShutdown());
  collector.url = `http://127.0.0.1:${port}`;
  return collector;
}

function startExporter(endpoint: string): { tracer: Tracer; exporter: SpanExporter; lines: string[] } {
  const lines: string[] = [];
  const log = Logger.create({ service: "echo", instance: "echo-1", logLevel: "info" }, (line) => lines.push(line));
  const exporter = new SpanExporter({ endpoint, resource: { "service.name": "echo" }, log });
  return { tracer: new Tracer(1, (span) => exporter.add(span)), exporter, lines };
}

const end = (tracer: Tracer, name: string) => tracer.start(name, SpanKind.SERVER, {}, undefined).end(false);
const received = ({ requests }: Collector) =>
  [
    ...Buffer.concat(requests)
      .toString("latin1")
      .matchAll(/span-(\d+)-/g),
  ].map(([, number]) => Number(number));
const numbers = (count: number) => Array.from({ length: count }, (_, index) => index);

test("spans_arrive_once_and_in_order_however_many_end_at_once", async () => {
  const collector = await startCollector();
  const { tracer, exporter } = startExporter(collector.url);
  for (const number of numbers(1200)) end(tracer, `span-${number}-`);
  await waitUntil("the spans", () => received(collector).length >= 1200);
  expect(received(collector)).toEqual(numbers(1200));
  await exporter.shutdown();
});

test("span_that_ends_alone_is_sent_without_another", async () => {
  const collector = await startCollector();
  const { tracer, exporter } = startExporter(collector.url);
  end(tracer, "span-0-");
  await waitUntil("the spans", () => received(collector).length === 1);
  end(tracer, "span-1-");
  await waitUntil("the spans", () => received(collector).length === 2);
  await exporter.shutdown();
});

test("spans_that_wait_are_sent_at_shutdown", async () => {
  const collector = await startCollector();
  const { tracer, exporter } = startExporter(collector.url);
  for (const number of numbers(600)) end(tracer, `span-${number}-`);
  end(tracer, "span-600-");
  await exporter.shutdown();
  expect(received(collector)).toEqual(numbers(601));
});

test("collector_that_fails_and_comes_back_is_told_of_once_each", async () => {
  const collector = await startCollector();
  collector.failing = true;
  const { tracer, exporter, lines } = startExporter(collector.url);
  for (const number of numbers(512)) end(tracer, `span-${number}-`);
  await waitUntil("the warning", () => lines.length === 1);
  for (const number of numbers(512)) end(tracer, `span-${number}-`);
  await exporter.shutdown();
  const second = startExporter(collector.url);
  collector.failing = false;
  end(second.tracer, "span-0-");
  await second.exporter.shutdown();
  expect(lines.map((line) => JSON.parse(line).msg)).toEqual(["the trace collector takes no spans; they are dropped"]);
  expect(second.lines).toEqual([]);
  expect(received(collector)).toEqual([0]);
});

test("collector_that_is_away_holds_up_neither_spans_nor_the_end", async () => {
  const { tracer, exporter, lines } = startExporter("http://127.0.0.1:9");
  for (const number of numbers(10_000)) end(tracer, `span-${number}-`);
  await exporter.shutdown();
  expect(lines.map((line) => JSON.parse(line).level)).toEqual(["warn"]);
});
