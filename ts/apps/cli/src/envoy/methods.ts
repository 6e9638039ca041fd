import { createFileRegistry, type DescMethod, fromBinary, hasOption } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema, MethodOptions_IdempotencyLevel } from "@bufbuild/protobuf/wkt";

/** What the contract says of a method, as far as Envoy has to know. */
export interface Method {
  /** Name without the service's, such as `Echo`. */
  readonly name: string;
  /** Whether a call may change something: everything but `NO_SIDE_EFFECTS`. */
  readonly writes: boolean;
  /** Whether a call may be repeated after the service has begun it: any `idempotency_level` in proto. */
  readonly repeatable: boolean;
  /** Whether either side may send more than one message. */
  readonly streams: boolean;
  /** Whether REST reaches it: it has `google.api.http`. */
  readonly rest: boolean;
}

/**
 * Reads every service's methods.
 *
 * @param descriptors a serialised google.protobuf.FileDescriptorSet with its imports (`buf build`)
 * @returns methods in the contract's order, by full gRPC service name
 */
export function methodsByService(descriptors: Uint8Array): ReadonlyMap<string, readonly Method[]> {
  const registry = createFileRegistry(fromBinary(FileDescriptorSetSchema, descriptors));
  const http = registry.getExtension("google.api.http");
  const found = new Map<string, readonly Method[]>();
  for (const type of registry) {
    if (type.kind !== "service") continue;
    found.set(
      type.typeName,
      type.methods.map((method: DescMethod) => ({
        name: method.name,
        writes: method.idempotency !== MethodOptions_IdempotencyLevel.NO_SIDE_EFFECTS,
        repeatable: method.idempotency !== MethodOptions_IdempotencyLevel.IDEMPOTENCY_UNKNOWN,
        streams: method.methodKind !== "unary",
        rest: http !== undefined && hasOption(method, http),
      })),
    );
  }
  return found;
}
