import type { KitConfig } from "./config.js";
import { Logger, type LogSink } from "./log.js";
import { Metrics } from "./metrics.js";
import { PassedOnSpan, type Span, SpanKind } from "./span.js";
import type { Attributes, SharedAttributes } from "./span-attributes.js";
import { Status } from "./status.js";
import type { SurroundingState } from "./surroundings.js";
import { NO_TRACE, type TraceParent } from "./trace-context.js";

export { type Span, SpanKind } from "./span.js";
export { formatTraceParent, readTraceParent, type SpanContext, type TraceParent } from "./trace-context.js";

/** Logs, metrics and spans of a process. */
export interface Telemetry {
  readonly log: Logger;
  readonly metrics: Metrics;
  /** Begins a span under `parent`, or a trace of its own where there is none. */
  startSpan(name: string, kind: SpanKind, attributes: Attributes | SharedAttributes, parent: TraceParent): Span;
  /** Whether the trace collector takes spans. */
  readonly traces: SurroundingState;
  /** Sends what has not been sent yet and stops. */
  shutdown(): Promise<void>;
}

/** Starts logs, metrics and, unless OTEL_SDK_DISABLED, tracing to OTEL_EXPORTER_OTLP_ENDPOINT. */
export async function startTelemetry(config: KitConfig, sink?: LogSink): Promise<Telemetry> {
  const log = Logger.create(config, sink);
  const metrics = new Metrics();
  if (config.otelDisabled) {
    const startSpan: Telemetry["startSpan"] = (_name, _kind, _attributes, parent) =>
      new PassedOnSpan(parent ?? NO_TRACE);
    return { log, metrics, startSpan, traces: "off", shutdown: () => Promise.resolve() };
  }
  const { startTracing } = await import("./tracing.js");
  const tracing = startTracing(config, log);
  return {
    log,
    metrics,
    startSpan: (name, kind, attributes, parent) => tracing.tracer.start(name, kind, attributes, parent),
    get traces() {
      return tracing.state;
    },
    shutdown: () => tracing.shutdown(),
  };
}

/** Ends a span with the status of its call. */
export function endSpan(span: Span, code: Status, kind: SpanKind): void {
  span.setAttribute("rpc.grpc.status_code", code);
  span.end(isSpanError(code, kind));
}

// OpenTelemetry's RPC conventions: on the server only its own faults are errors, on the client whatever is not OK.
const SERVER_ERRORS: ReadonlySet<Status> = new Set<Status>([
  Status.UNKNOWN,
  Status.DEADLINE_EXCEEDED,
  Status.UNIMPLEMENTED,
  Status.INTERNAL,
  Status.UNAVAILABLE,
  Status.DATA_LOSS,
]);

function isSpanError(code: Status, kind: SpanKind): boolean {
  return kind === SpanKind.SERVER ? SERVER_ERRORS.has(code) : code !== Status.OK;
}
