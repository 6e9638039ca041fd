import { randomFillSync } from "node:crypto";
import { type Attributes, type AttributeValue, EncodedAttributes } from "./otlp.js";
import { NO_TRACE, SAMPLED, type SpanContext, type TraceParent } from "./trace-context.js";

/** Roles of a span, by their numbers in OTLP. */
export const SpanKind = { SERVER: 2, CLIENT: 3, PRODUCER: 4, CONSUMER: 5 } as const;
export type SpanKind = (typeof SpanKind)[keyof typeof SpanKind];

/** One piece of work within a trace. */
export interface Span {
  spanContext(): SpanContext;
  /** Whether it will be sent to the collector. */
  isRecording(): boolean;
  setAttribute(key: string, value: AttributeValue): void;
  /** Ends the span; what comes later is lost. `failed` by the conventions of its kind. */
  end(failed?: boolean): void;
}

/** Takes each sampled span when it ends. */
export type SpanSink = (span: RecordedSpan) => void;

/** Starts spans, and decides which traces are recorded: as the parent was, and a share of those that begin here. */
export class Tracer {
  readonly #ratio: number;
  readonly #sink: SpanSink;

  constructor(ratio: number, sink: SpanSink) {
    this.#ratio = ratio;
    this.#sink = sink;
  }

  start(name: string, kind: SpanKind, attributes: Attributes | EncodedAttributes, parent: TraceParent): Span {
    const known = parent !== undefined && parent.traceId !== NO_TRACE.traceId ? parent : undefined;
    const traceId = known?.traceId ?? randomHex(16);
    const traceFlags = known?.traceFlags ?? (this.#ratio === 1 || share(traceId) < this.#ratio ? SAMPLED : 0);
    const context = { traceId, spanId: randomHex(8), traceFlags, traceState: known?.traceState };
    return (traceFlags & SAMPLED) !== 0
      ? new RecordedSpan(name, kind, EncodedAttributes.of(attributes), context, known, this.#sink)
      : new PassedOnSpan(context);
  }
}

/** A span that is not recorded: it carries a context on, and no more. */
export class PassedOnSpan implements Span {
  readonly #context: SpanContext;

  constructor(context: SpanContext) {
    this.#context = context;
  }

  spanContext(): SpanContext {
    return this.#context;
  }

  isRecording(): boolean {
    return false;
  }

  setAttribute(): void {}

  end(): void {}
}

/** A sampled span. Its times are whole microseconds, of which a number holds 285 years since 1970. */
export class RecordedSpan implements Span {
  readonly name: string;
  readonly kind: SpanKind;
  readonly attributes: EncodedAttributes;
  readonly context: SpanContext;
  readonly parent: TraceParent;
  readonly startMicros: number;
  /** Attributes set since it began: keys and values in turn. */
  readonly added: AttributeValue[] = [];
  endMicros = 0;
  failed = false;
  readonly #startedMs = performance.now();
  readonly #sink: SpanSink;

  constructor(
    name: string,
    kind: SpanKind,
    attributes: EncodedAttributes,
    context: SpanContext,
    parent: TraceParent,
    sink: SpanSink,
  ) {
    this.name = name;
    this.kind = kind;
    this.attributes = attributes;
    this.context = context;
    this.parent = parent;
    this.startMicros = Date.now() * 1000;
    this.#sink = sink;
  }

  spanContext(): SpanContext {
    return this.context;
  }

  isRecording(): boolean {
    return this.endMicros === 0;
  }

  setAttribute(key: string, value: AttributeValue): void {
    this.added.push(key, value);
  }

  end(failed = false): void {
    if (this.endMicros !== 0) return;
    // The wall clock may be set meanwhile; a duration is never negative.
    this.endMicros = this.startMicros + Math.round((performance.now() - this.#startedMs) * 1000);
    this.failed = failed;
    this.#sink(this);
  }
}

/** The trace id's last 52 bits, as a share of all that they can be: 0 to less than 1. */
function share(traceId: string): number {
  return Number.parseInt(traceId.slice(-13), 16) / 2 ** 52;
}

const random = Buffer.alloc(4096);
let used = random.length;

/** As hex digits. A draw of zeros only, which W3C forbids, is as likely as an id that is drawn twice. */
function randomHex(bytes: 8 | 16): string {
  if (used + bytes > random.length) {
    randomFillSync(random);
    used = 0;
  }
  const start = used;
  used += bytes;
  return random.toString("hex", start, used);
}
