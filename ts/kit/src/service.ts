import type { DescMethod, DescService } from "@bufbuild/protobuf";
import type {
  CallContext,
  CompatServiceDefinition,
  MethodDefinition,
  ServiceDefinition,
  ServiceImplementation,
  TsProtoServiceDefinition,
} from "nice-grpc";
import { Contract } from "./contract.js";
import type { Identity } from "./identity.js";
import type { Logger } from "./log.js";
import { type ErrorMap, type Status, StatusError } from "./status.js";
import type { SpanContext } from "./telemetry.js";

/** What the kit knows of a call, beside nice-grpc's own context. */
export interface ServerCallContext {
  readonly identity: Identity;
  /** Unix time in milliseconds at which the caller stops waiting; `undefined` when it set none. */
  readonly deadlineMs: number | undefined;
  /** The server's span; what the handler calls and publishes hangs under it. */
  readonly span: SpanContext;
  /** A log whose lines carry the call's trace and tenant. */
  readonly log: Logger;
  /** Calls back once, when the handler has ended, with the code that the call got. */
  onEnd(callback: (code: Status) => void): void;
}

/** Context of a handler. */
export type KitContext = CallContext & ServerCallContext;

/** A service ready to be served; made by `service`. */
export interface BoundService {
  readonly definition: ServiceDefinition;
  readonly descriptor: DescService;
  readonly implementation: ServiceImplementation<ServiceDefinition, ServerCallContext>;
  readonly errors: ErrorMap | undefined;
  readonly tenantless: boolean;
}

export interface ServiceOptions<Definition extends CompatServiceDefinition> {
  /** ts-proto's definition. */
  readonly definition: Definition;
  /** protobuf-es's descriptor of the same service: its rules, and what reflection tells. */
  readonly descriptor: DescService;
  readonly implementation: ServiceImplementation<Definition, ServerCallContext>;
  /** The service's map from its own errors to statuses. */
  readonly errors?: ErrorMap;
  /** Whether calls need no tenant. */
  readonly tenantless?: boolean;
}

/** Joins a definition, its descriptor and its handlers. */
export function service<Definition extends TsProtoServiceDefinition>(
  options: ServiceOptions<Definition>,
): BoundService {
  const methods = new Map(options.descriptor.methods.map((method) => [method.name, method]));
  const definition: Record<string, MethodDefinition<unknown, unknown, unknown, unknown>> = {};
  for (const [key, method] of Object.entries(options.definition.methods)) {
    const descriptor = methods.get(method.name);
    if (descriptor === undefined) {
      throw new Error(`${options.definition.fullName} and its descriptor differ: ${method.name}`);
    }
    definition[key] = methodDefinition(options.definition.fullName, method, descriptor);
  }
  return {
    definition,
    descriptor: options.descriptor,
    implementation: options.implementation as unknown as BoundService["implementation"],
    errors: options.errors,
    tenantless: options.tenantless ?? false,
  };
}

type TsProtoMethod = TsProtoServiceDefinition["methods"][string];

function methodDefinition(
  serviceName: string,
  method: TsProtoMethod,
  descriptor: DescMethod,
): MethodDefinition<unknown, unknown, unknown, unknown> {
  const { requestType, responseType } = method;
  const contract = new Contract(descriptor.input, requestType.decode as (bytes: Uint8Array) => object);
  const complete = responseType.fromPartial ?? ((value: unknown) => value);
  return {
    path: `/${serviceName}/${method.name}`,
    requestStream: method.requestStream,
    responseStream: method.responseStream,
    requestDeserialize: (bytes) => decodeRequest(contract, bytes),
    requestSerialize: (value) => requestType.encode(value).finish(),
    responseDeserialize: responseType.decode,
    responseSerialize: (value) => responseType.encode(complete(value)).finish(),
    options: method.options as { idempotencyLevel?: "IDEMPOTENT" | "NO_SIDE_EFFECTS" },
  };
}

// The verdict waits beside the message until the handler would see it: identity comes first, and a stream's earlier
// messages are answered.
const verdicts = new WeakMap<object, StatusError>();

function decodeRequest(contract: Contract<object>, bytes: Uint8Array): object {
  const message = contract.read(bytes);
  if (!(message instanceof StatusError)) return message;
  const refused = {};
  verdicts.set(refused, message);
  return refused;
}

/** Returns the message, or throws what is wrong with it. @throws StatusError */
export function validated<Message>(message: Message): Message {
  const verdict = verdicts.get(message as object);
  if (verdict !== undefined) throw verdict;
  return message;
}
