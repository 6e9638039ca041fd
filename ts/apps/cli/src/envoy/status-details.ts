import { create, createFileRegistry, fromBinary, type Registry, toBinary } from "@bufbuild/protobuf";
import { AnySchema, FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";

/** An error as the whole mesh reports them: google.rpc.Status with one google.rpc.ErrorInfo. */
export interface ErrorStatus {
  /** Number of the gRPC code. */
  readonly code: number;
  readonly message: string;
  /** A value of uait.error.v1.Reason, without its prefix. */
  readonly reason: string;
  readonly metadata: Readonly<Record<string, string>>;
}

/** Writes errors in the form of the header `grpc-status-details-bin`: base64 without padding. */
export class StatusDetails {
  readonly #registry: Registry;

  /** @param descriptors a serialised FileDescriptorSet that has google/rpc */
  constructor(descriptors: Uint8Array) {
    this.#registry = createFileRegistry(fromBinary(FileDescriptorSetSchema, descriptors));
  }

  encode(error: ErrorStatus): string {
    const info = this.#message("google.rpc.ErrorInfo", {
      reason: error.reason,
      domain: "uait.dev",
      metadata: { ...error.metadata },
    });
    const detail = create(AnySchema, { typeUrl: "type.googleapis.com/google.rpc.ErrorInfo", value: info });
    const status = this.#message("google.rpc.Status", { code: error.code, message: error.message, details: [detail] });
    return Buffer.from(status).toString("base64").replace(/=+$/, "");
  }

  #message(name: string, fields: Record<string, unknown>): Uint8Array {
    const schema = this.#registry.getMessage(name);
    if (schema === undefined) throw new Error(`the descriptor set has no ${name}`);
    return toBinary(schema, create(schema, fields));
  }
}
