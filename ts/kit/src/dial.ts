import { type ChannelOptions, credentials } from "@grpc/grpc-js";
import {
  type Channel,
  type Client,
  createChannel,
  createClientFactory,
  type TsProtoServiceDefinition,
} from "nice-grpc";
import { ClientError, type ClientMiddleware, Metadata } from "nice-grpc-common";
import type { KitConfig } from "./config.js";
import { type Identity, identityMetadata, NO_IDENTITY } from "./identity.js";
import type { KitContext } from "./service.js";
import {
  cancelled,
  deadlineExceeded,
  dependencyUnavailable,
  type ErrorCode,
  internalError,
  STATUS_DETAILS_KEY,
  Status,
  StatusError,
} from "./status.js";
import { endSpan, formatTraceParent, type Span, type SpanContext, SpanKind, type Telemetry } from "./telemetry.js";

/** What a call may be told beside its request. */
export interface MeshCallOptions {
  /** The call on whose behalf this one is made: its deadline, cancellation, identity and trace go along. */
  readonly from?: Pick<KitContext, "identity" | "deadlineMs" | "signal" | "span">;
  /** Ends the call after this long, where that is sooner than the deadline of `from`. */
  readonly timeoutMs?: number;
  /** On whose behalf, where there is no `from`. */
  readonly identity?: Identity;
  /** The catalogue name of the service, where several implement the same gRPC service. */
  readonly service?: string;
  /** Makes no span, for what is no one's work: a trace that lasts as long as the process shows nothing. */
  readonly untraced?: boolean;
}

export type MeshClient<Definition extends TsProtoServiceDefinition> = Client<Definition, MeshCallOptions>;

/** The mesh as a service sees it: one channel to Envoy's mesh listener. */
export interface Mesh {
  client<Definition extends TsProtoServiceDefinition>(definition: Definition): MeshClient<Definition>;
  close(): void;
}

const KEEPALIVE_MS = 30_000;
const SERVICE_KEY = "x-uait-service";
// setTimeout takes 31 bits; longer times would fire at once.
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** Opens the channel to UAIT_MESH; it connects at the first call, and again whenever it is lost. */
export function dial(options: { readonly config: KitConfig; readonly telemetry: Telemetry }): Mesh {
  const { config, telemetry } = options;
  let channel: Channel | undefined;
  const open = () => {
    channel ??= createChannel(config.mesh, channelCredentials(config), channelOptions(config));
    return channel;
  };
  const middleware = createClientMiddleware(telemetry, config.deadlineMs);
  return {
    client: (definition) => createClientFactory().use(middleware).create(definition, open()) as never,
    close: () => channel?.close(),
  };
}

function channelCredentials(config: KitConfig) {
  const { tls } = config;
  return tls === undefined ? credentials.createInsecure() : credentials.createSsl(tls.ca, tls.key, tls.cert);
}

function channelOptions(config: KitConfig): ChannelOptions {
  return {
    "grpc.max_receive_message_length": config.maxMessageBytes,
    "grpc.max_send_message_length": config.maxMessageBytes,
    "grpc.keepalive_time_ms": KEEPALIVE_MS,
    "grpc.enable_channelz": 0,
    // Envoy retries, within its budget; a second layer here would multiply the attempts.
    "grpc.enable_retries": 0,
    "grpc.initial_reconnect_backoff_ms": 200,
    "grpc.max_reconnect_backoff_ms": 5000,
  };
}

function createClientMiddleware(telemetry: Telemetry, defaultDeadlineMs: number): ClientMiddleware<MeshCallOptions> {
  return async function* meshMiddleware(call, options) {
    const { from, timeoutMs, identity, service, untraced, ...base } = options;
    const unary = !call.requestStream && !call.responseStream;
    const deadlineMs = callDeadline(from?.deadlineMs, timeoutMs, unary ? defaultDeadlineMs : undefined);
    const span = untraced ? undefined : startClientSpan(telemetry, call.method.path, from?.span);
    const metadata = outgoingMetadata(
      base.metadata,
      span?.spanContext() ?? from?.span,
      from?.identity ?? identity,
      service,
      deadlineMs,
    );
    const limit = new CallLimit(deadlineMs, from?.signal, base.signal);
    let details: Uint8Array | undefined;
    let code: Status = Status.CANCELLED;
    try {
      const next = call.next(call.request, {
        ...base,
        metadata,
        signal: limit.signal,
        onTrailer(trailer) {
          details = trailer.get(STATUS_DETAILS_KEY);
          base.onTrailer?.(trailer);
        },
      });
      const response = yield* next;
      code = Status.OK;
      return response as never;
    } catch (error) {
      const status = limit.reason(error, details) ?? received(error, details, service ?? rpcService(call.method.path));
      code = status.code;
      throw status;
    } finally {
      limit.release();
      if (span !== undefined) endSpan(span, code, SpanKind.CLIENT);
    }
  };
}

function startClientSpan(telemetry: Telemetry, path: string, parent: SpanContext | undefined): Span {
  const service = rpcService(path);
  const attributes = { "rpc.system": "grpc", "rpc.service": service, "rpc.method": path.slice(service.length + 2) };
  return telemetry.startSpan(path.slice(1), SpanKind.CLIENT, attributes, parent);
}

function callDeadline(
  inheritedMs: number | undefined,
  timeoutMs: number | undefined,
  defaultTimeoutMs: number | undefined,
): number | undefined {
  const own = timeoutMs ?? (inheritedMs === undefined ? defaultTimeoutMs : undefined);
  const candidates = [inheritedMs, own === undefined ? undefined : Date.now() + own].filter(
    (each) => each !== undefined,
  );
  return candidates.length === 0 ? undefined : Math.min(...candidates);
}

function outgoingMetadata(
  given: Metadata | undefined,
  span: SpanContext | undefined,
  identity: Identity | undefined,
  service: string | undefined,
  deadlineMs: number | undefined,
): Metadata {
  const metadata = Metadata(given);
  const traceparent = span === undefined ? "" : formatTraceParent(span);
  if (traceparent !== "") metadata.set("traceparent", traceparent);
  const tracestate = span?.traceState?.serialize();
  if (tracestate) metadata.set("tracestate", tracestate);
  for (const [key, value] of identityMetadata(identity ?? NO_IDENTITY)) metadata.set(key, value);
  if (service !== undefined) metadata.set(SERVICE_KEY, service);
  if (deadlineMs !== undefined) metadata.set("grpc-timeout", formatTimeout(deadlineMs - Date.now()));
  return metadata;
}

// gRPC over HTTP/2: at most eight digits and a unit.
function formatTimeout(ms: number): string {
  const whole = Math.max(1, Math.ceil(ms));
  return whole < 1e8 ? `${whole}m` : `${Math.ceil(whole / 1000)}S`;
}

// Node 20 keeps a listener for each AbortSignal.any on a long-lived source, so sources are joined by hand and let go.
class CallLimit {
  readonly #controller = new AbortController();
  readonly #release: (() => void)[] = [];
  readonly #deadlineMs: number | undefined;
  #reason: StatusError | undefined;

  constructor(deadlineMs: number | undefined, ...sources: (AbortSignal | undefined)[]) {
    this.#deadlineMs = deadlineMs;
    for (const source of sources) {
      if (source === undefined) continue;
      const abort = () => this.#abort(source.reason instanceof StatusError ? source.reason : cancelled());
      if (source.aborted) abort();
      source.addEventListener("abort", abort, { once: true });
      this.#release.push(() => source.removeEventListener("abort", abort));
    }
    if (deadlineMs !== undefined) {
      const leftMs = Math.min(Math.max(0, deadlineMs - Date.now()), LONGEST_TIMER_MS);
      const timer = setTimeout(() => this.#abort(deadlineExceeded()), leftMs);
      this.#release.push(() => clearTimeout(timer));
    }
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Why the limit ended the call, for the error and the details that came of it; `undefined` when it did not. */
  reason(error: unknown, details: Uint8Array | undefined): StatusError | undefined {
    if (!(error instanceof ClientError)) return this.#reason;
    // A server that keeps the deadline too, as grpc-go does, resets the stream when it passes, and the reset may be read
    // before our timer fires. grpc-js takes it for a cancellation; the other languages' libraries look at the deadline.
    const reset = error.code === Status.CANCELLED && details === undefined;
    return reset && Date.now() >= (this.#deadlineMs ?? Number.POSITIVE_INFINITY) ? deadlineExceeded() : undefined;
  }

  release(): void {
    for (const release of this.#release) release();
  }

  #abort(reason: StatusError): void {
    this.#reason ??= reason;
    this.#controller.abort();
  }
}

function received(error: unknown, details: Uint8Array | undefined, dependency: string): StatusError {
  if (!(error instanceof ClientError)) return internalError(error);
  // No details: the answer is not the service's but that of a proxy or of the connection.
  if (details === undefined && error.code === Status.UNAVAILABLE) return dependencyUnavailable(dependency, error);
  return StatusError.received(error.code as ErrorCode, error.details, details, error);
}

function rpcService(path: string): string {
  return path.slice(1, path.lastIndexOf("/"));
}
