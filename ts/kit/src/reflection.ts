import { create, type DescFile, type DescService, toBinary } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { file_google_rpc_error_details } from "@uait/gen/es/google/rpc/error_details_pb.js";
import type { CallContext, MethodDefinition } from "nice-grpc";
import { healthFile } from "./health-descriptor.js";

type BytesMethod = MethodDefinition<Uint8Array, Uint8Array, Uint8Array, Uint8Array, true, true>;
type Reflect = (requests: AsyncIterable<Uint8Array>, context: CallContext) => AsyncGenerator<Uint8Array>;

const identity = (bytes: Uint8Array) => bytes;

/** `grpc.reflection.<version>.ServerReflection`; v1 and v1alpha have the same messages. */
export function reflectionDefinition(version: "v1" | "v1alpha"): { readonly serverReflectionInfo: BytesMethod } {
  return {
    serverReflectionInfo: {
      path: `/grpc.reflection.${version}.ServerReflection/ServerReflectionInfo`,
      requestStream: true,
      responseStream: true,
      requestSerialize: identity,
      requestDeserialize: identity,
      responseSerialize: identity,
      responseDeserialize: identity,
      options: {},
    },
  };
}

/** Names under which reflection itself is listed. */
export const REFLECTION_SERVICES = ["grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection"];

/**
 * Tells of `services`, from the descriptors that protobuf-es carries. The library that answers, and google-protobuf
 * under it, are loaded at the first question: most processes are never asked.
 */
export function createReflection(
  services: readonly DescService[],
  names: readonly string[],
): { readonly serverReflectionInfo: Reflect } {
  let loading: ReturnType<typeof load> | undefined;
  return {
    async *serverReflectionInfo(requests, context) {
      loading ??= load(services, names);
      const { definition, implementation } = await loading;
      const decoded = map(requests, (bytes) => definition.requestDeserialize(Buffer.from(bytes)));
      const answers = implementation.serverReflectionInfo(decoded, context);
      for await (const answer of answers) yield definition.responseSerialize(answer as never);
    },
  };
}

async function load(services: readonly DescService[], names: readonly string[]) {
  const { ServerReflection, ServerReflectionService } = await import("nice-grpc-server-reflection");
  // With the details of errors, so that a client can print them.
  const files = collectFiles([...services.map(({ file }) => file), file_google_rpc_error_details]);
  const file = [...files.map(({ proto }) => proto), healthFile()];
  const descriptorSet = toBinary(FileDescriptorSetSchema, create(FileDescriptorSetSchema, { file }));
  return {
    definition: ServerReflectionService.serverReflectionInfo,
    implementation: ServerReflection(descriptorSet, [...names]),
  };
}

function collectFiles(roots: readonly DescFile[]): DescFile[] {
  const files = new Set<DescFile>();
  const add = (file: DescFile) => {
    if (files.has(file)) return;
    files.add(file);
    file.dependencies.forEach(add);
  };
  roots.forEach(add);
  return [...files];
}

async function* map<From, To>(items: AsyncIterable<From>, convert: (item: From) => To): AsyncGenerator<To> {
  for await (const item of items) yield convert(item);
}
