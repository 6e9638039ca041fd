import { create, createFileRegistry, fromBinary, type JsonValue, toJson } from "@bufbuild/protobuf";
import {
  type FieldDescriptorProto_Type,
  FileDescriptorProtoSchema,
  FieldDescriptorProto_Label as Label,
  FieldDescriptorProto_Type as Type,
} from "@bufbuild/protobuf/wkt";
import { Server, ServerCredentials, type ServerUnaryCall, type sendUnaryData, status } from "@grpc/grpc-js";

// What a collector reads: the messages of opentelemetry-proto 1.x with all fields that a span may have here, as
// opentelemetry/proto/trace/v1/trace.proto and common/v1/common.proto number them.
const FIELDS: Readonly<
  Record<string, readonly [name: string, number: number, type: FieldDescriptorProto_Type | string][]>
> = {
  ExportTraceServiceRequest: [["resource_spans", 1, "ResourceSpans*"]],
  ResourceSpans: [
    ["resource", 1, "Resource"],
    ["scope_spans", 2, "ScopeSpans*"],
  ],
  Resource: [
    ["attributes", 1, "KeyValue*"],
    ["dropped_attributes_count", 2, Type.UINT32],
  ],
  ScopeSpans: [
    ["scope", 1, "InstrumentationScope"],
    ["spans", 2, "Span*"],
  ],
  InstrumentationScope: [["name", 1, Type.STRING]],
  Span: [
    ["trace_id", 1, Type.BYTES],
    ["span_id", 2, Type.BYTES],
    ["trace_state", 3, Type.STRING],
    ["parent_span_id", 4, Type.BYTES],
    ["name", 5, Type.STRING],
    ["kind", 6, Type.INT32],
    ["start_time_unix_nano", 7, Type.FIXED64],
    ["end_time_unix_nano", 8, Type.FIXED64],
    ["attributes", 9, "KeyValue*"],
    ["status", 15, "Status"],
    ["dropped_attributes_count", 10, Type.UINT32],
    ["dropped_events_count", 12, Type.UINT32],
    ["dropped_links_count", 14, Type.UINT32],
    ["flags", 16, Type.FIXED32],
  ],
  Status: [["code", 3, Type.INT32]],
  KeyValue: [
    ["key", 1, Type.STRING],
    ["value", 2, "AnyValue"],
  ],
  AnyValue: [
    ["string_value", 1, Type.STRING],
    ["bool_value", 2, Type.BOOL],
    ["int_value", 3, Type.INT64],
    ["double_value", 4, Type.DOUBLE],
  ],
};

const jsonName = (field: string) => field.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());

const registry = createFileRegistry(
  create(FileDescriptorProtoSchema, {
    name: "otlp.proto",
    syntax: "proto3",
    messageType: Object.entries(FIELDS).map(([name, fields]) => ({
      name,
      field: fields.map(([field, number, type]) =>
        typeof type === "number"
          ? { name: field, jsonName: jsonName(field), number, type, label: Label.OPTIONAL }
          : {
              name: field,
              jsonName: jsonName(field),
              number,
              type: Type.MESSAGE,
              typeName: `.${type.replace("*", "")}`,
              label: type.endsWith("*") ? Label.REPEATED : Label.OPTIONAL,
            },
      ),
    })),
  }),
  () => undefined,
);

function decode(request: Uint8Array): ExportRequest {
  const schema = registry.getMessage("ExportTraceServiceRequest");
  if (schema === undefined) throw new Error("no such message");
  const message = fromBinary(schema, request);
  if (message.$unknown !== undefined) throw new Error("a field that opentelemetry-proto does not have");
  return toJson(schema, message) as unknown as ExportRequest;
}

/** A span in protobuf's JSON: ids in base64. */
export type SentSpan = { readonly name: string } & Readonly<Record<string, JsonValue>>;

interface ExportRequest {
  readonly resourceSpans?: readonly {
    readonly resource: JsonValue;
    readonly scopeSpans: readonly { readonly scope: JsonValue; readonly spans: readonly SentSpan[] }[];
  }[];
}

/** A trace collector that keeps what it is sent. */
export class TraceCollector {
  /** Whether it refuses what it is sent. */
  failing = false;
  readonly requests: ExportRequest[] = [];
  readonly #server = new Server();
  #port = 0;

  /** @param port 0 takes a free one. */
  async listen(port = 0): Promise<void> {
    this.#server.addService(
      {
        export: {
          path: "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
          requestStream: false,
          responseStream: false,
          requestSerialize: pass,
          requestDeserialize: pass,
          responseSerialize: pass,
          responseDeserialize: pass,
        },
      },
      {
        export: (call: ServerUnaryCall<Buffer, Buffer>, callback: sendUnaryData<Buffer>) => {
          if (this.failing) return callback({ code: status.UNAVAILABLE, details: "full disk" });
          this.requests.push(decode(call.request));
          callback(null, Buffer.alloc(0));
        },
      },
    );
    this.#port = await new Promise<number>((resolve, reject) =>
      this.#server.bindAsync(`127.0.0.1:${port}`, ServerCredentials.createInsecure(), (error, bound) =>
        error === null ? resolve(bound) : reject(error),
      ),
    );
  }

  get port(): number {
    return this.#port;
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  /** The spans that came, in their order. */
  get spans(): SentSpan[] {
    return this.requests.flatMap(({ resourceSpans = [] }) =>
      resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap(({ spans }) => spans)),
    );
  }

  stop(): void {
    this.#server.forceShutdown();
  }
}

const pass = (value: Buffer) => value;
