import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-grpc";
import { core, type tracing } from "@opentelemetry/sdk-node";
import type { Logger } from "./log.js";

/** A quiet process asks the collector this often whether it is there. */
const PROBE_MS = 2000;
const EXPORT_TIMEOUT_MS = 5000;

type ExportCallback = Parameters<tracing.SpanExporter["export"]>[1];

/** The SDK's OTLP exporter, and what is known of the collector by how its exports end. */
export class SpanExporter implements tracing.SpanExporter {
  readonly #endpoint: string;
  readonly #log: Logger;
  readonly #probe: NodeJS.Timeout;
  #exporter: OTLPTraceExporter;
  #connections = 0;
  #state: "up" | "down" | "unknown" = "unknown";
  #underWay = 0;
  #endedMs = performance.now();

  /** @param endpoint URL of the collector; https for TLS with the system's authorities. Connected at the first export. */
  constructor(options: { readonly endpoint: string; readonly log: Logger }) {
    this.#endpoint = options.endpoint;
    this.#log = options.log;
    this.#exporter = this.#connect();
    this.#probe = setInterval(() => this.#ask(), PROBE_MS).unref();
  }

  /** Whether the last export arrived. */
  get state(): "up" | "down" | "unknown" {
    return this.#state;
  }

  export(spans: tracing.ReadableSpan[], onEnd: ExportCallback): void {
    const exporter = this.#exporter;
    this.#underWay++;
    exporter.export(spans, (result) => {
      this.#underWay--;
      this.#endedMs = performance.now();
      this.#tell(result.code === core.ExportResultCode.SUCCESS ? undefined : result.error);
      if (this.#state === "down" && exporter === this.#exporter) this.#reconnect();
      onEnd(result);
    });
  }

  forceFlush(): Promise<void> {
    return this.#exporter.forceFlush();
  }

  shutdown(): Promise<void> {
    clearInterval(this.#probe);
    return this.#exporter.shutdown();
  }

  // OTLP lets a request be empty, and the collector answers it.
  #ask(): void {
    if (this.#underWay === 0 && performance.now() - this.#endedMs >= PROBE_MS / 2) this.export([], () => undefined);
  }

  // grpc-js would connect again after up to two minutes, and shares that pause among channels of like options.
  #reconnect(): void {
    void this.#exporter.shutdown();
    this.#exporter = this.#connect();
  }

  #connect(): OTLPTraceExporter {
    const userAgent = `uait-kit (connection ${++this.#connections})`;
    return new OTLPTraceExporter({ url: this.#endpoint, timeoutMillis: EXPORT_TIMEOUT_MS, userAgent });
  }

  /** Logs that the collector went or came back, once. */
  #tell(error: Error | undefined): void {
    const before = this.#state;
    this.#state = error === undefined ? "up" : "down";
    if (error !== undefined && before !== "down") {
      this.#log.warn("the trace collector takes no spans; they are dropped", { error: error.message });
    }
    if (error === undefined && before === "down") this.#log.info("the trace collector is back");
  }
}
