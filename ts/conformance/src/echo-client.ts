import type { Json, JsonObject } from "./json.js";

/** Where and as whom to call. */
export interface Target {
  /** host:port */
  readonly address: string;
  readonly tls: { readonly cert: Buffer; readonly key: Buffer; readonly ca: Buffer } | undefined;
  /** Sent as `x-uait-service`. */
  readonly service: string | undefined;
}

export interface CallOptions {
  readonly metadata: Readonly<Record<string, string>>;
  readonly deadlineMs: number;
  readonly gzip?: boolean;
  /** Cancels the call. */
  readonly signal?: AbortSignal;
}

/** How a call ended, whatever way. */
export interface CallResult {
  /** Name of the gRPC code. */
  readonly code: string;
  readonly message: string;
  /** The responses, in proto3 JSON. */
  readonly responses: readonly Json[];
  /** ASCII trailing metadata. */
  readonly trailers: Readonly<Record<string, string>>;
  /** Raw `grpc-status-details-bin`. */
  readonly details: Uint8Array | undefined;
}

/** A Converse stream under the caller's hand. */
export interface Conversation {
  send(request: JsonObject): void;
  halfClose(): void;
  /** The next response. @throws Error when the stream ended first. */
  receive(): Promise<Json>;
  /** How the stream ended. */
  readonly ended: Promise<CallResult>;
}

/** A client of EchoService that speaks proto3 JSON, over some gRPC library. */
export interface EchoClient {
  /** Makes a call of any kind; `onResponse` hears of each response as it arrives. */
  call(
    method: string,
    requests: readonly JsonObject[],
    options: CallOptions,
    onResponse?: () => void,
  ): Promise<CallResult>;
  converse(options: CallOptions): Conversation;
  close(): void;
}

/** A client of `grpc.health.v1`. */
export interface HealthClient {
  /** Name of the serving status of a health name. @throws Error when it cannot be had. */
  check(name: string): Promise<string>;
  close(): void;
}

/** A gRPC library as the suite uses it. */
export interface ClientLibrary {
  echo(target: Target): EchoClient;
  health(target: Target): HealthClient;
}
