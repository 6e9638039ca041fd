import {
  type Attributes,
  createTraceState,
  ROOT_CONTEXT,
  type Span,
  type SpanContext,
  SpanKind,
  SpanStatusCode,
  TraceFlags,
  type Tracer,
  trace,
} from "@opentelemetry/api";
import { parseTraceParent } from "@opentelemetry/core";
import type { KitConfig } from "./config.js";
import { Logger, type LogSink } from "./log.js";
import { Metrics } from "./metrics.js";
import { Status } from "./status.js";

export { type Span, type SpanContext, SpanKind };

/** Where a span hangs: the W3C context of the caller or of the publisher. */
export type TraceParent = SpanContext | undefined;

/** Logs, metrics and spans of a process. */
export interface Telemetry {
  readonly log: Logger;
  readonly metrics: Metrics;
  /** Begins a span under `parent`, or a trace of its own where there is none. */
  startSpan(name: string, kind: SpanKind, attributes: Attributes, parent: TraceParent): Span;
  /** Sends what has not been sent yet and stops. */
  shutdown(): Promise<void>;
}

interface SpanSource {
  readonly tracer: Tracer;
  shutdown(): Promise<void>;
}

/** Starts logs, metrics and, unless OTEL_SDK_DISABLED, tracing to OTEL_EXPORTER_OTLP_ENDPOINT. */
export async function startTelemetry(config: KitConfig, sink?: LogSink): Promise<Telemetry> {
  const log = Logger.create(config, sink);
  const source = config.otelDisabled ? disabledSource() : await exportingSource(config);
  return {
    log,
    metrics: new Metrics(),
    startSpan: (name, kind, attributes, parent) =>
      source.tracer.startSpan(
        name,
        { kind, attributes },
        parent === undefined ? ROOT_CONTEXT : trace.setSpanContext(ROOT_CONTEXT, parent),
      ),
    shutdown: () => source.shutdown(),
  };
}

// With no provider registered the API's tracer passes the parent's context on and records nothing.
function disabledSource(): SpanSource {
  return { tracer: trace.getTracer("@uait/kit"), shutdown: () => Promise.resolve() };
}

async function exportingSource(config: KitConfig): Promise<SpanSource> {
  const [{ NodeSDK, resources, tracing }, { OTLPTraceExporter }] = await Promise.all([
    import("@opentelemetry/sdk-node"),
    import("@opentelemetry/exporter-trace-otlp-grpc"),
  ]);
  const exporter = new OTLPTraceExporter({ url: config.otlpEndpoint, timeoutMillis: 5000 });
  const sdk = new NodeSDK({
    resource: resources.resourceFromAttributes({
      "service.name": config.service,
      "service.instance.id": config.instance,
    }),
    autoDetectResources: false,
    sampler: new tracing.ParentBasedSampler({ root: new tracing.TraceIdRatioBasedSampler(config.samplerRatio) }),
    spanProcessors: [new tracing.BatchSpanProcessor(exporter)],
    // Metrics are Prometheus's and logs go to stdout: of the SDK only tracing is wanted.
    metricReaders: [],
    logRecordProcessors: [],
    instrumentations: [],
  });
  sdk.start();
  return {
    tracer: trace.getTracer("@uait/kit"),
    // A collector that is away must not hold up the end of the process, nor fail it.
    shutdown: () => sdk.shutdown().catch(() => undefined),
  };
}

/** Ends a span with the status of its call. */
export function endSpan(span: Span, code: Status, kind: SpanKind, message?: string): void {
  span.setAttribute("rpc.grpc.status_code", code);
  if (isSpanError(code, kind)) {
    span.setStatus(message === undefined ? { code: SpanStatusCode.ERROR } : { code: SpanStatusCode.ERROR, message });
  }
  span.end();
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

/** Reads W3C trace context; `undefined` when absent or malformed. */
export function readTraceParent(traceparent: string | undefined, tracestate?: string): TraceParent {
  if (traceparent === undefined) return undefined;
  const parent = parseTraceParent(traceparent);
  if (parent === null) return undefined;
  parent.isRemote = true;
  if (tracestate !== undefined && tracestate !== "") parent.traceState = createTraceState(tracestate);
  return parent;
}

/** W3C `traceparent` of a span; empty when there is no trace. */
export function formatTraceParent({ traceId, spanId, traceFlags }: SpanContext): string {
  if (traceId === INVALID_TRACE_ID) return "";
  return `00-${traceId}-${spanId}-${(traceFlags & TraceFlags.SAMPLED) === 0 ? "00" : "01"}`;
}

const INVALID_TRACE_ID = "0".repeat(32);
