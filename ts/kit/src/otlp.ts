/**
 * Spans as an OTLP `ExportTraceServiceRequest` (opentelemetry-proto 1.x), written field by field when each ends: objects
 * that wait to be encoded together cost more in garbage than all else about a span (deploy/decisions/0171).
 */
import { BinaryWriter } from "@bufbuild/protobuf/wire";
import type { RecordedSpan } from "./span.js";
import { SAMPLED } from "./trace-context.js";

export type AttributeValue = string | number | boolean;
export type Attributes = Readonly<Record<string, AttributeValue>>;

/** Attributes that many spans share, encoded once. */
export class EncodedAttributes {
  readonly bytes: Uint8Array;

  constructor(attributes: Attributes) {
    const writer = new BinaryWriter();
    for (const [key, value] of Object.entries(attributes)) writeAttribute(writer, SPAN_ATTRIBUTES, key, value);
    this.bytes = writer.finish();
  }

  static of(attributes: Attributes | EncodedAttributes): EncodedAttributes {
    return attributes instanceof EncodedAttributes ? attributes : new EncodedAttributes(attributes);
  }
}

// Tags: a field's number and its wire type, 0 for a varint, 1 for 64 bits, 2 for bytes of a length, 5 for 32 bits.
const tag = (field: number, wireType: 0 | 1 | 2 | 5) => (field << 3) | wireType;
const SPAN_TRACE_ID = tag(1, 2);
const SPAN_SPAN_ID = tag(2, 2);
const SPAN_TRACE_STATE = tag(3, 2);
const SPAN_PARENT_SPAN_ID = tag(4, 2);
const SPAN_NAME = tag(5, 2);
const SPAN_KIND = tag(6, 0);
const SPAN_START = tag(7, 1);
const SPAN_END = tag(8, 1);
const SPAN_ATTRIBUTES = tag(9, 2);
const SPAN_STATUS = tag(15, 2);
const SPAN_FLAGS = tag(16, 5);

const FLAG_HAS_IS_REMOTE = 0x100;
const FLAG_IS_REMOTE = 0x200;
const STATUS_CODE_ERROR = 2;

/** Spans that will be sent together. */
export class SpanBatch {
  readonly #resource: Uint8Array;
  readonly #spans = new BinaryWriter();
  #size = 0;

  /** @param resource attributes of the process. */
  constructor(resource: Attributes) {
    const writer = new BinaryWriter();
    for (const [key, value] of Object.entries(resource)) writeAttribute(writer, tag(1, 2), key, value);
    this.#resource = writer.finish();
  }

  /** How many spans there are. */
  get size(): number {
    return this.#size;
  }

  add(span: RecordedSpan): void {
    writeSpan(this.#spans.uint32(tag(2, 2)).fork(), span).join();
    this.#size++;
  }

  /** The request that brings all spans to the collector; the batch is empty then. */
  take(): Uint8Array {
    this.#size = 0;
    const request = new BinaryWriter().uint32(tag(1, 2)).fork();
    request.uint32(tag(1, 2)).bytes(this.#resource);
    request.uint32(tag(2, 2)).fork();
    request.uint32(tag(1, 2)).fork().uint32(tag(1, 2)).string("@uait/kit").join();
    return request.raw(this.#spans.finish()).join().join().finish();
  }
}

function writeSpan(writer: BinaryWriter, span: RecordedSpan): BinaryWriter {
  const { context, parent } = span;
  writeHex(writer.uint32(SPAN_TRACE_ID), context.traceId);
  writeHex(writer.uint32(SPAN_SPAN_ID), context.spanId);
  if (context.traceState !== undefined) writer.uint32(SPAN_TRACE_STATE).string(context.traceState);
  if (parent !== undefined) writeHex(writer.uint32(SPAN_PARENT_SPAN_ID), parent.spanId);
  writer.uint32(SPAN_NAME).string(span.name).uint32(SPAN_KIND).uint32(span.kind);
  writeNanos(writer.uint32(SPAN_START), span.startMicros);
  writeNanos(writer.uint32(SPAN_END), span.endMicros);
  writer.raw(span.attributes.bytes);
  for (let at = 0; at < span.added.length; at += 2) {
    writeAttribute(writer, SPAN_ATTRIBUTES, span.added[at] as string, span.added[at + 1] as AttributeValue);
  }
  if (span.failed) writer.uint32(SPAN_STATUS).fork().uint32(tag(3, 0)).uint32(STATUS_CODE_ERROR).join();
  const remote = parent?.isRemote === true ? FLAG_IS_REMOTE : 0;
  return writer.uint32(SPAN_FLAGS).fixed32(SAMPLED | FLAG_HAS_IS_REMOTE | remote);
}

const idBytes = Buffer.alloc(16);
const shortIdBytes = idBytes.subarray(0, 8);

function writeHex(writer: BinaryWriter, hex: string): void {
  idBytes.write(hex, "hex");
  writer.bytes(hex.length === 32 ? idBytes : shortIdBytes);
}

/** Nanoseconds as 64 bits, which a number does not hold: the microseconds are multiplied in two halves. */
function writeNanos(writer: BinaryWriter, micros: number): void {
  const high = Math.floor(micros / 2 ** 32);
  const lowNanos = (micros - high * 2 ** 32) * 1000;
  const carry = Math.floor(lowNanos / 2 ** 32);
  writer.fixed32(lowNanos - carry * 2 ** 32).fixed32(high * 1000 + carry);
}

/** A `KeyValue` with its `AnyValue`. */
function writeAttribute(writer: BinaryWriter, field: number, key: string, value: AttributeValue): void {
  writer.uint32(field).fork().uint32(tag(1, 2)).string(key).uint32(tag(2, 2)).fork();
  if (typeof value === "string") writer.uint32(tag(1, 2)).string(value);
  else if (typeof value === "boolean") writer.uint32(tag(2, 0)).bool(value);
  else if ((value | 0) === value) writer.uint32(tag(3, 0)).int32(value);
  else if (Number.isSafeInteger(value)) writer.uint32(tag(3, 0)).int64(value);
  else writer.uint32(tag(4, 1)).double(value);
  writer.join().join();
}
