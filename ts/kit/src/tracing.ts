import { NodeSDK, resources, tracing } from "@opentelemetry/sdk-node";
import type { KitConfig } from "./config.js";
import type { Logger } from "./log.js";
import { type SpanOrigin, Tracer } from "./span.js";
import { SpanExporter } from "./span-exporter.js";

// A batch of 2,048 spans costs 5 % less of a call than four of 512 (deploy/decisions/0175).
const BATCH = { scheduledDelayMillis: 1000, maxExportBatchSize: 2048, maxQueueSize: 4096 };
const FLUSH_TIMEOUT_MS = 2000;

/** Spans by OpenTelemetry's SDK. Loaded only where tracing is on. */
export interface Tracing {
  readonly tracer: Tracer;
  /** Whether the collector takes spans. */
  readonly state: SpanExporter["state"];
  /** Sends what is left, within 2 s. */
  shutdown(): Promise<void>;
}

/** Starts the SDK with batches to the collector. */
export function startTracing(config: KitConfig, log: Logger): Tracing {
  const exporter = new SpanExporter({ endpoint: config.otlpEndpoint, log });
  const processor = new tracing.BatchSpanProcessor(exporter, BATCH);
  const origin: SpanOrigin = {
    resource: resources.resourceFromAttributes({
      "service.name": config.service,
      "service.instance.id": config.instance,
    }),
    sampler: new tracing.ParentBasedSampler({ root: rootSampler(config.samplerRatio) }),
    processor,
  };
  const sdk = new NodeSDK({
    resource: origin.resource,
    sampler: origin.sampler,
    spanProcessors: [processor],
    autoDetectResources: false,
    // Nothing is ambient (decision 0050), and an AsyncLocalStorage, once entered, makes Node 20 run a hook at every
    // promise of the process. The SDK takes null for none, which its types do not say.
    contextManager: null as never,
    textMapPropagator: null,
    // Metrics are Prometheus's and logs go to stdout: of the SDK only tracing is wanted.
    metricReaders: [],
    logRecordProcessors: [],
    instrumentations: [],
  });
  sdk.start();
  let ended: Promise<void> | undefined;
  return {
    tracer: new Tracer(origin),
    get state() {
      return exporter.state;
    },
    shutdown() {
      ended ??= within(FLUSH_TIMEOUT_MS, () => sdk.shutdown().catch(() => exporter.shutdown()));
      return ended;
    },
  };
}

// The sampler by ratio reads every trace id, of which it takes each.
function rootSampler(ratio: number): tracing.Sampler {
  return ratio >= 1 ? new tracing.AlwaysOnSampler() : new tracing.TraceIdRatioBasedSampler(ratio);
}

// A collector that is away must not hold up the end of the process, nor fail it.
async function within(limitMs: number, work: () => Promise<void>): Promise<void> {
  const late = new Promise<void>((resolve) => setTimeout(resolve, limitMs).unref());
  await Promise.race([work(), late]);
}
