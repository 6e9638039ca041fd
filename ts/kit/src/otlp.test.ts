import { create, createFileRegistry, fromBinary, type JsonValue, toJson } from "@bufbuild/protobuf";
import {
  type FieldDescriptorProto_Type,
  FileDescriptorProtoSchema,
  FieldDescriptorProto_Label as Label,
  FieldDescriptorProto_Type as Type,
} from "@bufbuild/protobuf/wkt";
import { expect, test } from "vitest";
import { SpanBatch } from "./otlp.js";
import { type RecordedSpan, SpanKind, Tracer } from "./span.js";
import { readTraceParent } from "./trace-context.js";

// What a collector reads: the messages of opentelemetry-proto 1.x with all fields that a span may have here, as
// opentelemetry/proto/trace/v1/trace.proto and common/v1/common.proto number them.
const FIELDS: Readonly<
  Record<string, readonly [name: string, number: number, type: FieldDescriptorProto_Type | string][]>
> = {
  ExportTraceServiceRequest: [["resource_spans", 1, "ResourceSpans*"]],
  ResourceSpans: [
    ["resource", 1, "Resource"],
    ["scope_spans", 2, "ScopeSpans*"],
  ],
  Resource: [["attributes", 1, "KeyValue*"]],
  ScopeSpans: [
    ["scope", 1, "InstrumentationScope"],
    ["spans", 2, "Span*"],
  ],
  InstrumentationScope: [["name", 1, Type.STRING]],
  Span: [
    ["trace_id", 1, Type.BYTES],
    ["span_id", 2, Type.BYTES],
    ["trace_state", 3, Type.STRING],
    ["parent_span_id", 4, Type.BYTES],
    ["name", 5, Type.STRING],
    ["kind", 6, Type.INT32],
    ["start_time_unix_nano", 7, Type.FIXED64],
    ["end_time_unix_nano", 8, Type.FIXED64],
    ["attributes", 9, "KeyValue*"],
    ["status", 15, "Status"],
    ["flags", 16, Type.FIXED32],
  ],
  Status: [["code", 3, Type.INT32]],
  KeyValue: [
    ["key", 1, Type.STRING],
    ["value", 2, "AnyValue"],
  ],
  AnyValue: [
    ["string_value", 1, Type.STRING],
    ["bool_value", 2, Type.BOOL],
    ["int_value", 3, Type.INT64],
    ["double_value", 4, Type.DOUBLE],
  ],
};

const jsonName = (field: string) => field.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());

const registry = createFileRegistry(
  create(FileDescriptorProtoSchema, {
    name: "otlp.proto",
    syntax: "proto3",
    messageType: Object.entries(FIELDS).map(([name, fields]) => ({
      name,
      field: fields.map(([field, number, type]) =>
        typeof type === "number"
          ? { name: field, jsonName: jsonName(field), number, type, label: Label.OPTIONAL }
          : {
              name: field,
              jsonName: jsonName(field),
              number,
              type: Type.MESSAGE,
              typeName: `.${type.replace("*", "")}`,
              label: type.endsWith("*") ? Label.REPEATED : Label.OPTIONAL,
            },
      ),
    })),
  }),
  () => undefined,
);

function decode(request: Uint8Array): JsonValue {
  const schema = registry.getMessage("ExportTraceServiceRequest");
  if (schema === undefined) throw new Error("no such message");
  const message = fromBinary(schema, request);
  expect(message.$unknown).toBeUndefined();
  return toJson(schema, message);
}

const base64 = (hex: string) => Buffer.from(hex, "hex").toString("base64");
const TRACE = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT = "00f067aa0ba902b7";

test("batch_of_spans_is_what_a_collector_reads_and_leaves_the_batch_empty", () => {
  const batch = new SpanBatch({ "service.name": "echo" });
  const ended: RecordedSpan[] = [];
  const tracer = new Tracer(1, (span) => {
    ended.push(span);
    batch.add(span);
  });
  const parent = readTraceParent(`00-${TRACE}-${PARENT}-01`, "vendor=x");
  const span = tracer.start("a.B/C", SpanKind.SERVER, { "rpc.system": "grpc", long: "x".repeat(300) }, parent);
  const child = tracer.start("d.E/F", SpanKind.CLIENT, {}, span.spanContext());
  child.end(true);
  span.setAttribute("small", -1);
  span.setAttribute("large", 2 ** 40);
  span.setAttribute("share", 0.5);
  span.setAttribute("flag", true);
  span.end(false);
  span.end(false);
  expect(batch.size).toBe(2);
  const [sentChild, sent] = ended;
  const nanos = (micros = 0) => String(BigInt(micros) * 1000n);
  expect(decode(batch.take())).toEqual({
    resourceSpans: [
      {
        resource: { attributes: [{ key: "service.name", value: { stringValue: "echo" } }] },
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
                startTimeUnixNano: nanos(sentChild?.startMicros),
                endTimeUnixNano: nanos(sentChild?.endMicros),
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
                startTimeUnixNano: nanos(sent?.startMicros),
                endTimeUnixNano: nanos(sent?.endMicros),
                attributes: [
                  { key: "rpc.system", value: { stringValue: "grpc" } },
                  { key: "long", value: { stringValue: "x".repeat(300) } },
                  { key: "small", value: { intValue: "-1" } },
                  { key: "large", value: { intValue: String(2 ** 40) } },
                  { key: "share", value: { doubleValue: 0.5 } },
                  { key: "flag", value: { boolValue: true } },
                ],
                flags: 0x301,
              },
            ],
          },
        ],
      },
    ],
  });
  expect(batch.size).toBe(0);
});

test.each([0, 1, 4_294_967, 4_294_968, 2 ** 32, 1_795_000_000_123_456, 2 ** 53 - 1])(
  "time_of_%d_microseconds_is_exact",
  (micros) => {
    const batch = new SpanBatch({});
    const tracer = new Tracer(1, (span) => batch.add(Object.assign(span, { startMicros: micros, endMicros: micros })));
    tracer.start("a", SpanKind.SERVER, {}, undefined).end(false);
    const text = JSON.stringify(decode(batch.take()));
    expect(/"startTimeUnixNano":"(\d+)"/.exec(text)?.[1] ?? "0").toBe(String(BigInt(micros) * 1000n));
  },
);
