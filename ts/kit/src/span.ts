import { randomFillSync } from "node:crypto";
import { type HrTime, ROOT_CONTEXT, SpanKind, type SpanStatus, SpanStatusCode, trace } from "@opentelemetry/api";
import type { tracing } from "@opentelemetry/sdk-node";
import { type Attributes, type AttributeValue, SharedAttributes } from "./span-attributes.js";
import { NO_TRACE, SAMPLED, type SpanContext, type TraceParent } from "./trace-context.js";

export { SpanKind };

/** One piece of work within a trace. */
export interface Span {
  spanContext(): SpanContext;
  /** Whether it will be sent to the collector. */
  isRecording(): boolean;
  setAttribute(key: string, value: AttributeValue): void;
  /** Ends the span; what comes later is lost. `failed` by the conventions of its kind. */
  end(failed?: boolean): void;
}

type ReadableSpan = tracing.ReadableSpan;

/** What the spans of a process have in common, all of it the SDK's. */
export interface SpanOrigin {
  readonly resource: ReadableSpan["resource"];
  /** Decides which traces are recorded. */
  readonly sampler: tracing.Sampler;
  /** Takes each sampled span when it ends. */
  readonly processor: Pick<tracing.SpanProcessor, "onEnd">;
}

const SCOPE: ReadableSpan["instrumentationScope"] = { name: "@uait/kit" };

/**
 * Starts spans. The SDK's own tracer checks and copies attributes three times and makes a span of two dozen fields,
 * a third of a bare call (deploy/decisions/0175).
 */
export class Tracer {
  readonly #origin: SpanOrigin;

  constructor(origin: SpanOrigin) {
    this.#origin = origin;
  }

  start(name: string, kind: SpanKind, attributes: Attributes | SharedAttributes, parent: TraceParent): Span {
    const known = parent !== undefined && parent.traceId !== NO_TRACE.traceId ? parent : undefined;
    const traceId = known?.traceId ?? randomHex(16);
    const within = known === undefined ? ROOT_CONTEXT : trace.setSpanContext(ROOT_CONTEXT, known);
    const values = attributes instanceof SharedAttributes ? attributes.values : attributes;
    const { decision } = this.#origin.sampler.shouldSample(within, traceId, name, kind, values, NO_LINKS);
    const spanId = randomHex(8);
    if (decision === RECORD_AND_SAMPLED) {
      return new RecordedSpan(name, kind, attributes, { traceId, spanId, parent: known }, this.#origin);
    }
    const traceState = known?.traceState;
    return new PassedOnSpan({ traceId, spanId, traceFlags: 0, ...(traceState === undefined ? {} : { traceState }) });
  }
}

// `SamplingDecision.RECORD_AND_SAMPLED`, whose module would be loaded with tracing off too.
const RECORD_AND_SAMPLED: tracing.SamplingDecision.RECORD_AND_SAMPLED = 2;

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

const UNSET: SpanStatus = { code: SpanStatusCode.UNSET };
const FAILED: SpanStatus = { code: SpanStatusCode.ERROR };
const NO_EVENTS: ReadableSpan["events"] = [];
const NO_LINKS: ReadableSpan["links"] = [];

interface Place {
  readonly traceId: string;
  readonly spanId: string;
  readonly parent: TraceParent;
}

/**
 * A sampled span, as the SDK's processors and exporters read it, and its own context. It waits for its batch for up to
 * a second, so it holds little: what is alike in all spans is not kept in each.
 */
export class RecordedSpan implements Span, SpanContext {
  readonly name: string;
  readonly kind: SpanKind;
  readonly traceId: string;
  readonly spanId: string;
  readonly traceState?: NonNullable<SpanContext["traceState"]>;
  readonly parentSpanContext?: SpanContext;
  attributes: Attributes;
  status = UNSET;
  ended = false;
  readonly #origin: SpanOrigin;
  readonly #startEpochMs = Date.now();
  /** When it began, by the monotonic clock; once it has ended, how long it took. */
  #elapsedMs = performance.now();
  /** Where its attributes are from; `undefined` once they are its own. */
  #shared: SharedAttributes | undefined;
  #own: Record<string, AttributeValue> | undefined;

  constructor(
    name: string,
    kind: SpanKind,
    attributes: Attributes | SharedAttributes,
    { traceId, spanId, parent }: Place,
    origin: SpanOrigin,
  ) {
    this.name = name;
    this.kind = kind;
    this.traceId = traceId;
    this.spanId = spanId;
    if (parent !== undefined) this.parentSpanContext = parent;
    if (parent?.traceState !== undefined) this.traceState = parent.traceState;
    this.#shared = attributes instanceof SharedAttributes ? attributes : undefined;
    this.attributes = attributes instanceof SharedAttributes ? attributes.values : attributes;
    this.#origin = origin;
  }

  spanContext(): SpanContext {
    return this;
  }

  get traceFlags(): number {
    return SAMPLED;
  }

  isRecording(): boolean {
    return !this.ended;
  }

  setAttribute(key: string, value: AttributeValue): void {
    if (this.ended) return;
    const shared = this.#shared?.with(key, value);
    this.#shared = shared;
    if (shared !== undefined) {
      this.attributes = shared.values;
      return;
    }
    if (this.#own === undefined) {
      this.#own = { ...this.attributes };
      this.attributes = this.#own;
    }
    this.#own[key] = value;
  }

  end(failed = false): void {
    if (this.ended) return;
    // The wall clock may be set meanwhile; a duration is never negative.
    this.#elapsedMs = performance.now() - this.#elapsedMs;
    if (failed) this.status = FAILED;
    this.ended = true;
    this.#origin.processor.onEnd(this);
  }

  get startTime(): HrTime {
    return timeOf(this.#startEpochMs, 0);
  }

  get endTime(): HrTime {
    return timeOf(this.#startEpochMs, this.#elapsedMs);
  }

  get duration(): HrTime {
    return timeOf(0, this.#elapsedMs);
  }

  get resource(): ReadableSpan["resource"] {
    return this.#origin.resource;
  }

  get instrumentationScope(): ReadableSpan["instrumentationScope"] {
    return SCOPE;
  }

  get events(): ReadableSpan["events"] {
    return NO_EVENTS;
  }

  get links(): ReadableSpan["links"] {
    return NO_LINKS;
  }

  get droppedAttributesCount(): number {
    return 0;
  }

  get droppedEventsCount(): number {
    return 0;
  }

  get droppedLinksCount(): number {
    return 0;
  }
}

/** Seconds and nanoseconds, of whole microseconds, of a time in whole milliseconds and a duration after it. */
export function timeOf(epochMs: number, durationMs: number): HrTime {
  const micros = (epochMs % 1000) * 1000 + Math.round(durationMs * 1000);
  const seconds = Math.floor(micros / 1_000_000);
  return [Math.floor(epochMs / 1000) + seconds, (micros - seconds * 1_000_000) * 1000];
}

const random = Buffer.alloc(2048);
let digits = "";
let used = 0;

/** As hex digits. A draw of zeros only, which W3C forbids, is as likely as an id that is drawn twice. */
function randomHex(bytes: 8 | 16): string {
  const length = bytes * 2;
  if (used + length > digits.length) {
    digits = randomFillSync(random).toString("hex");
    used = 0;
  }
  used += length;
  return digits.slice(used - length, used);
}
