import { Client, credentials, Metadata } from "@grpc/grpc-js";
import type { Logger } from "./log.js";
import { type Attributes, SpanBatch } from "./otlp.js";
import type { RecordedSpan } from "./span.js";

const EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
const INTERVAL_MS = 1000;
const BATCH_SPANS = 512;
/** Most spans that wait while a batch is under way. */
const MAX_WAITING_SPANS = 4096;
const EXPORT_TIMEOUT_MS = 5000;
const FLUSH_TIMEOUT_MS = 2000;

const DEFAULT_PORT: Readonly<Record<string, string>> = { "http:": "80", "https:": "443" };

/** Sends spans to the collector, OTLP over gRPC: once a second, or as soon as there is a batch. */
export class SpanExporter {
  readonly #client: Client;
  readonly #log: Logger;
  readonly #batch: SpanBatch;
  #timer: NodeJS.Timeout | undefined;
  #sending: Promise<void> | undefined;
  #reachable = true;

  /**
   * @param endpoint URL of the collector; https for TLS with the system's authorities. Connected at the first export.
   * @param resource attributes of the process.
   */
  constructor(options: { readonly endpoint: string; readonly resource: Attributes; readonly log: Logger }) {
    const { protocol, hostname, port } = new URL(options.endpoint);
    const secure = protocol === "https:" ? credentials.createSsl() : credentials.createInsecure();
    const channel = { "grpc.enable_channelz": 0, "grpc.enable_retries": 0, "grpc.max_reconnect_backoff_ms": 5000 };
    this.#client = new Client(`${hostname}:${port || DEFAULT_PORT[protocol]}`, secure, channel);
    this.#log = options.log;
    this.#batch = new SpanBatch(options.resource);
  }

  /** Queues a span that has ended; beyond what may wait it is dropped, so that no call waits for a collector. */
  add(span: RecordedSpan): void {
    if (this.#batch.size >= MAX_WAITING_SPANS) return;
    this.#batch.add(span);
    this.#schedule();
  }

  /** Sends what is left, within 2 s, and closes the channel. */
  async shutdown(): Promise<void> {
    const deadlineMs = Date.now() + FLUSH_TIMEOUT_MS;
    const late = new Promise<void>((resolve) => setTimeout(resolve, FLUSH_TIMEOUT_MS).unref());
    await Promise.race([this.#sending, late]);
    if (this.#batch.size > 0) await this.#send(deadlineMs);
    clearTimeout(this.#timer);
    this.#client.close();
  }

  #schedule(): void {
    if (this.#batch.size >= BATCH_SPANS) this.#send();
    else if (this.#batch.size > 0) this.#timer ??= setTimeout(() => this.#send(), INTERVAL_MS).unref();
  }

  /** Sends all that waits; one batch is under way at a time. @returns when the one under way has arrived or is lost. */
  #send(deadlineMs = Date.now() + EXPORT_TIMEOUT_MS): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#sending ??= this.#export(deadlineMs).then((error) => {
      this.#sending = undefined;
      this.#tell(error);
      this.#schedule();
    });
    return this.#sending;
  }

  #export(deadlineMs: number): Promise<Error | null> {
    const request = this.#batch.take();
    return new Promise((resolve) => {
      const options = { deadline: deadlineMs };
      this.#client.makeUnaryRequest(EXPORT, toBuffer, ignore, request, new Metadata(), options, resolve);
    });
  }

  /** Logs that the collector went or came back, once. */
  #tell(error: Error | null): void {
    const reachable = error === null;
    if (reachable === this.#reachable) return;
    this.#reachable = reachable;
    if (reachable) this.#log.info("the trace collector is back");
    else this.#log.warn("the trace collector takes no spans; they are dropped", { error: error.message });
  }
}

const toBuffer = (bytes: Uint8Array) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
const ignore = () => undefined;
