import { createTraceState, type SpanContext } from "@opentelemetry/api";

export type { SpanContext };

/** Where a span hangs: the context of the caller or of the publisher. */
export type TraceParent = SpanContext | undefined;

/** The flag of a trace that is recorded. */
export const SAMPLED = 1;

/** The context of work that belongs to no trace. */
export const NO_TRACE: SpanContext = { traceId: "0".repeat(32), spanId: "0".repeat(16), traceFlags: 0 };

// Later versions may append fields after the flags; version 00 has none.
const TRACEPARENT = /^(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;
const MAX_STATE_LENGTH = 512;

/** Reads W3C trace context; `undefined` when absent or malformed. */
export function readTraceParent(traceparent: string | undefined, tracestate?: string): TraceParent {
  if (traceparent === undefined) return undefined;
  const match = TRACEPARENT.exec(traceparent);
  if (match === null) return undefined;
  const [, version, traceId = "", spanId = "", flags = "", more] = match;
  if (version === "00" && more !== undefined) return undefined;
  const parent = { traceId, spanId, traceFlags: Number.parseInt(flags, 16) & SAMPLED, isRemote: true };
  if (!tracestate || tracestate.length > MAX_STATE_LENGTH) return parent;
  return { ...parent, traceState: createTraceState(tracestate) };
}

/** W3C `traceparent` of a span; empty when there is no trace. */
export function formatTraceParent({ traceId, spanId, traceFlags }: SpanContext): string {
  if (traceId === NO_TRACE.traceId) return "";
  return `00-${traceId}-${spanId}-${(traceFlags & SAMPLED) === 0 ? "00" : "01"}`;
}
