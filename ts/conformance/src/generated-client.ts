import {
  type DescMessage,
  type DescMethod,
  fromBinary,
  fromJson,
  type JsonValue,
  ScalarType,
  toBinary,
  toJson,
} from "@bufbuild/protobuf";
import { EchoService } from "@uait/gen/es/uait/echo/v1/echo_pb.js";
import { EchoServiceDefinition } from "@uait/gen/uait/echo/v1/echo.js";
import { type Channel, createChannel, createClient } from "nice-grpc";
import { ClientError, Metadata, Status } from "nice-grpc-common";
import {
  HealthCheckResponse_ServingStatus,
  HealthDefinition,
} from "nice-grpc-server-health/lib/proto/grpc/health/v1/health.js";
import { AsyncQueue } from "./async-queue.js";
import { CHANNEL_OPTIONS, COMPRESSING, channelCredentials, requestMetadata } from "./channel.js";
import { Deadline } from "./deadline.js";
import type {
  CallOptions,
  CallResult,
  ClientLibrary,
  Conversation,
  EchoClient,
  HealthClient,
  Target,
} from "./echo-client.js";
import type { Json, JsonObject } from "./json.js";
import { STATUS_DETAILS_KEY } from "./rpc-status.js";

/** nice-grpc with ts-proto's stubs; protobuf-es, from the same contracts, only speaks JSON at the edge. */
export const generatedLibrary: ClientLibrary = {
  echo: (target) => new GeneratedEchoClient(target),
  health: createHealthClient,
};

interface StubMethod {
  readonly requestType: unknown;
  readonly responseType: unknown;
}
type StubCall = (request: unknown, options: StubCallOptions) => Promise<unknown> | AsyncIterable<unknown>;
type Stubs = Readonly<Record<keyof typeof EchoServiceDefinition.methods, StubCall>>;
interface StubCallOptions {
  readonly metadata: Metadata;
  readonly signal: AbortSignal;
  onTrailer(trailer: Metadata): void;
}

class GeneratedEchoClient implements EchoClient {
  readonly #target: Target;
  readonly #channels: readonly Channel[];
  readonly #plain: Stubs;
  readonly #compressing: Stubs;

  constructor(target: Target) {
    this.#target = target;
    const plain = openChannel(target, {});
    const compressing = openChannel(target, COMPRESSING);
    this.#channels = [plain, compressing];
    this.#plain = createClient(EchoServiceDefinition, plain) as unknown as Stubs;
    this.#compressing = createClient(EchoServiceDefinition, compressing) as unknown as Stubs;
  }

  async call(method: string, requests: readonly JsonObject[], options: CallOptions, onResponse?: () => void) {
    return await this.#run(method, from(requests), options, () => onResponse?.());
  }

  converse(options: CallOptions): Conversation {
    const requests = new AsyncQueue<JsonObject>();
    const responses = new AsyncQueue<Json>();
    const ended = this.#run("Converse", requests, options, (response) => responses.push(response));
    void ended.then(() => responses.end());
    return {
      send: (request) => requests.push(request),
      halfClose: () => requests.end(),
      async receive() {
        const next = await responses.next();
        if (next.done === true) throw new Error(`the stream ended: ${JSON.stringify(await ended)}`);
        return next.value;
      },
      ended,
    };
  }

  close(): void {
    for (const channel of this.#channels) channel.close();
  }

  async #run(
    name: string,
    requests: AsyncIterable<JsonObject>,
    options: CallOptions,
    onResponse: (response: Json) => void,
  ): Promise<CallResult> {
    const { stub, descriptor, invoke } = this.#method(name, options.gzip === true);
    const limit = new Limit(options);
    const responses: Json[] = [];
    let trailer = Metadata();
    const take = (response: unknown) => {
      const json = messageToJson(stub, descriptor, response);
      responses.push(json);
      onResponse(json);
    };
    const ended = (code: number, message: string) => result(code, message, responses, trailer);
    try {
      const encoded = map(requests, (request) => messageFromJson(stub, descriptor, request));
      const streams = descriptor.methodKind === "client_streaming" || descriptor.methodKind === "bidi_streaming";
      const request = streams ? encoded : await only(encoded);
      const outcome = invoke(request, {
        metadata: Metadata([["grpc-timeout", `${options.deadlineMs}m`], ...requestMetadata(this.#target, options)]),
        signal: limit.signal,
        onTrailer: (received) => {
          trailer = received;
        },
      });
      if (Symbol.asyncIterator in outcome) for await (const response of outcome) take(response);
      else take(await outcome);
      return ended(Status.OK, "");
    } catch (error) {
      if (error instanceof ClientError) return ended(limit.code(error.code), error.details);
      if (limit.signal.aborted)
        return ended(limit.timedOut ? Status.DEADLINE_EXCEEDED : Status.CANCELLED, "ended by the caller");
      throw error;
    } finally {
      limit.release();
    }
  }

  #method(name: string, gzip: boolean): { stub: StubMethod; descriptor: DescMethod; invoke: StubCall } {
    const descriptor = EchoService.methods.find((method) => method.name === name);
    if (descriptor === undefined) throw new Error(`EchoService has no method ${name}`);
    const key = descriptor.localName as keyof typeof EchoServiceDefinition.methods;
    const invoke = (gzip ? this.#compressing : this.#plain)[key];
    return { stub: EchoServiceDefinition.methods[key], descriptor, invoke };
  }
}

// nice-grpc knows signals but no deadlines; the server hears of them by `grpc-timeout`.
class Limit {
  timedOut = false;
  readonly #deadline: Deadline;
  readonly #controller = new AbortController();
  readonly #timer: NodeJS.Timeout;
  readonly #source: AbortSignal | undefined;
  readonly #abort = () => this.#controller.abort();

  constructor({ deadlineMs, signal }: CallOptions) {
    this.#deadline = new Deadline(deadlineMs);
    this.#source = signal;
    this.#source?.addEventListener("abort", this.#abort);
    this.#timer = setTimeout(() => {
      this.timedOut = true;
      this.#abort();
    }, deadlineMs);
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** What a code that came says. */
  code(came: number): number {
    return this.#deadline.code(came);
  }

  release(): void {
    clearTimeout(this.#timer);
    this.#source?.removeEventListener("abort", this.#abort);
  }
}

// protobuf-es's base64 is JavaScript, and a payload near the limit takes it 0.4 s: bytes go past it, by Buffer's.
function messageFromJson(stub: StubMethod, descriptor: DescMethod, json: JsonObject): unknown {
  const isBytes = bytesFields(descriptor.input);
  const rest = Object.entries(json).filter(([name]) => !isBytes.has(name));
  const encoded = toBinary(descriptor.input, fromJson(descriptor.input, Object.fromEntries(rest) as JsonValue));
  const message = (stub.requestType as { decode(bytes: Uint8Array): Record<string, unknown> }).decode(encoded);
  for (const name of isBytes) {
    if (typeof json[name] === "string") message[name] = Buffer.from(json[name], "base64");
  }
  return message;
}

function messageToJson(stub: StubMethod, descriptor: DescMethod, message: unknown): Json {
  const rest: Record<string, unknown> = { ...(message as object) };
  const bytes: [string, string][] = [];
  for (const name of bytesFields(descriptor.output)) {
    const value = rest[name];
    if (!(value instanceof Uint8Array) || value.length === 0) continue;
    rest[name] = new Uint8Array();
    bytes.push([name, Buffer.from(value.buffer, value.byteOffset, value.length).toString("base64")]);
  }
  const { encode } = stub.responseType as { encode(message: unknown): { finish(): Uint8Array } };
  const json = toJson(descriptor.output, fromBinary(descriptor.output, encode(rest).finish())) as JsonObject;
  return { ...json, ...Object.fromEntries(bytes) };
}

function bytesFields({ fields }: DescMessage): ReadonlySet<string> {
  return new Set(
    fields
      .filter(({ fieldKind, scalar }) => fieldKind === "scalar" && scalar === ScalarType.BYTES)
      .map((f) => f.localName),
  );
}

function result(code: number, message: string, responses: readonly Json[], trailer: Metadata): CallResult {
  const trailers: Record<string, string> = {};
  for (const [key, values] of trailer) if (typeof values[0] === "string") trailers[key] = values[0];
  return { code: Status[code] ?? String(code), message, responses, trailers, details: trailer.get(STATUS_DETAILS_KEY) };
}

function openChannel(target: Target, options: Readonly<Record<string, number>>): Channel {
  return createChannel(target.address, channelCredentials(target), { ...CHANNEL_OPTIONS, ...options });
}

function createHealthClient(target: Target): HealthClient {
  const channel = openChannel(target, {});
  const client = createClient(HealthDefinition, channel);
  return {
    async check(name) {
      const { status } = await client.check({ service: name }, { signal: AbortSignal.timeout(1000) });
      return HealthCheckResponse_ServingStatus[status];
    },
    close: () => channel.close(),
  };
}

async function* from<Item>(items: readonly Item[]): AsyncGenerator<Item> {
  yield* items;
}

async function* map<From, To>(items: AsyncIterable<From>, convert: (item: From) => To): AsyncGenerator<To> {
  for await (const item of items) yield convert(item);
}

async function only<Item>(items: AsyncIterable<Item>): Promise<Item> {
  for await (const item of items) return item;
  throw new Error("this method takes one request");
}
