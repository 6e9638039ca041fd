import { fileURLToPath } from "node:url";
import {
  Client,
  type CallOptions as GrpcCallOptions,
  Metadata,
  type MethodDefinition,
  type ServiceError,
  type StatusObject,
  status,
} from "@grpc/grpc-js";
import { fromJSON, loadSync, type PackageDefinition } from "@grpc/proto-loader";
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
import { type MessageDescriptor, ProtoJson } from "./proto-json.js";
import { STATUS_DETAILS_KEY } from "./rpc-status.js";

const PROTO_ROOT = fileURLToPath(new URL("../../../proto", import.meta.url));

/** @grpc/proto-loader on @grpc/grpc-js: reads the contracts at run time, with no generated code. */
export const dynamicLibrary: ClientLibrary = {
  echo: (target) => new DynamicEchoClient(target),
  health: createHealthClient,
};

// Read once, however many runs one process makes.
let contracts: PackageDefinition | undefined;

const SETTINGS = { longs: String, enums: String, bytes: String };

type DynamicMethod = MethodDefinition<object, object> & {
  readonly requestType: { readonly type: object };
  readonly responseType: { readonly type: object };
};

/** What is alike in grpc-js's four kinds of call. */
interface AnyCall {
  cancel(): void;
  on(event: "data", listener: (response: object) => void): unknown;
  on(event: "status", listener: (status: StatusObject) => void): unknown;
  on(event: "error", listener: (error: ServiceError) => void): unknown;
}

class DynamicEchoClient implements EchoClient {
  readonly #target: Target;
  readonly #plain: Client;
  readonly #compressing: Client;
  readonly #definition: PackageDefinition;
  readonly #json: ProtoJson;

  constructor(target: Target) {
    this.#target = target;
    this.#plain = openClient(target, {});
    this.#compressing = openClient(target, COMPRESSING);
    contracts ??= loadSync("uait/echo/v1/echo.proto", {
      ...SETTINGS,
      includeDirs: [PROTO_ROOT, `${PROTO_ROOT}/third_party`],
    });
    this.#definition = contracts;
    this.#json = new ProtoJson(contracts);
  }

  async call(method: string, requests: readonly JsonObject[], options: CallOptions, onResponse?: () => void) {
    const { ended, send, halfClose } = this.#start(method, options, () => onResponse?.());
    for (const request of requests) send(request);
    halfClose();
    return await ended;
  }

  converse(options: CallOptions): Conversation {
    const responses = new AsyncQueue<Json>();
    const { ended, send, halfClose } = this.#start("Converse", options, (response) => responses.push(response));
    void ended.then(() => responses.end());
    return {
      send,
      halfClose,
      async receive() {
        const next = await responses.next();
        if (next.done === true) throw new Error(`the stream ended: ${JSON.stringify(await ended)}`);
        return next.value;
      },
      ended,
    };
  }

  close(): void {
    this.#plain.close();
    this.#compressing.close();
  }

  // Every kind of method is called as bidirectional: on the wire they differ only in how many messages there are.
  #start(name: string, options: CallOptions, onResponse: (response: Json) => void) {
    const method = this.#method(name);
    const client = options.gzip === true ? this.#compressing : this.#plain;
    const responses: Json[] = [];
    const deadline = new Deadline(options.deadlineMs);
    const call = client.makeBidiStreamRequest(
      method.path,
      method.requestSerialize,
      method.responseDeserialize,
      headers(this.#target, options),
      { deadline: Date.now() + options.deadlineMs } satisfies GrpcCallOptions,
    );
    const cancel = () => call.cancel();
    options.signal?.addEventListener("abort", cancel, { once: true });
    const ended = finish(call as AnyCall, responses, deadline, (object) => {
      const response = this.#json.toJson(method.responseType.type as MessageDescriptor, object as Json);
      responses.push(response);
      onResponse(response);
    }).finally(() => options.signal?.removeEventListener("abort", cancel));
    return {
      ended,
      send: (request: JsonObject) => {
        call.write(this.#json.toObject(method.requestType.type as MessageDescriptor, request) as object);
      },
      halfClose: () => call.end(),
    };
  }

  #method(name: string): DynamicMethod {
    const service = this.#definition["uait.echo.v1.EchoService"] as unknown as Record<string, DynamicMethod>;
    const method = service[name];
    if (method === undefined) throw new Error(`EchoService has no method ${name}`);
    return method;
  }
}

function headers(target: Target, options: CallOptions): Metadata {
  const headers = new Metadata();
  for (const [key, value] of requestMetadata(target, options)) headers.set(key, value);
  return headers;
}

function finish(
  call: AnyCall,
  responses: readonly Json[],
  deadline: Deadline,
  onData: (response: object) => void,
): Promise<CallResult> {
  return new Promise((resolve, reject) => {
    call.on("data", (response) => {
      try {
        onData(response);
      } catch (error) {
        reject(error);
        call.cancel();
      }
    });
    call.on("status", ({ code: came, details, metadata }) => {
      const code = deadline.code(came);
      const trailers: Record<string, string> = {};
      for (const [key, value] of Object.entries(metadata.getMap()))
        if (typeof value === "string") trailers[key] = value;
      const [bytes] = metadata.get(STATUS_DETAILS_KEY);
      resolve({
        code: status[code] ?? String(code),
        message: code === status.OK ? "" : details,
        responses,
        trailers,
        details: typeof bytes === "string" ? undefined : bytes,
      });
    });
    // Each error comes as a status too.
    call.on("error", () => undefined);
  });
}

function openClient(target: Target, options: Readonly<Record<string, number>>): Client {
  return new Client(target.address, channelCredentials(target), { ...CHANNEL_OPTIONS, ...options });
}

// grpc.health.v1 is not among our contracts; these lines of it are all that is called.
const HEALTH = {
  nested: {
    grpc: {
      nested: {
        health: {
          nested: {
            v1: {
              nested: {
                HealthCheckRequest: { fields: { service: { type: "string", id: 1 } } },
                HealthCheckResponse: {
                  fields: { status: { type: "ServingStatus", id: 1 } },
                  nested: {
                    ServingStatus: { values: { UNKNOWN: 0, SERVING: 1, NOT_SERVING: 2, SERVICE_UNKNOWN: 3 } },
                  },
                },
                Health: {
                  methods: { Check: { requestType: "HealthCheckRequest", responseType: "HealthCheckResponse" } },
                },
              },
            },
          },
        },
      },
    },
  },
};

function createHealthClient(target: Target): HealthClient {
  const client = openClient(target, {});
  const definition = fromJSON(HEALTH as unknown as Parameters<typeof fromJSON>[0], { ...SETTINGS, defaults: true });
  const { Check: check } = definition["grpc.health.v1.Health"] as unknown as Record<"Check", DynamicMethod>;
  return {
    check: (name) =>
      new Promise((resolve, reject) => {
        client.makeUnaryRequest(
          check.path,
          check.requestSerialize,
          check.responseDeserialize,
          { service: name },
          new Metadata(),
          { deadline: Date.now() + 1000 },
          (error, response) => {
            if (error === null) resolve((response as { readonly status: string }).status);
            else reject(error);
          },
        );
      }),
    close: () => client.close(),
  };
}
