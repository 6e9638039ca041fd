import { type RouteInput, routesOf, SERVICE_HEADER } from "./routes.js";

/** What the edge's virtual host adds to its routes. */
export interface EdgeInput extends RouteInput {
  /** Path of the descriptor set that the transcoder reads. */
  readonly descriptorFile: string;
  /** Origins whose pages may call; a `*` stands for any port or any one label. */
  readonly corsOrigins: readonly string[];
  /** Largest REST body, bytes, request or response. */
  readonly maxRestBytes: number;
}

/** Route table `edge` with CORS and the transcoder's services. */
export function edgeRoutes(input: EdgeInput): object {
  const implemented = new Set(input.backends.flatMap(({ grpc }) => grpc));
  const rest = [...implemented].filter((grpc) => input.methods.get(grpc)?.some((method) => method.rest));
  return {
    name: "edge",
    virtual_hosts: [
      {
        name: "edge",
        domains: ["*"],
        // By which a caller finds the trace of a call, also of one that failed.
        response_headers_to_add: [
          { header: { key: "x-uait-trace-id", value: "%TRACE_ID%" }, append_action: "OVERWRITE_IF_EXISTS_OR_ADD" },
        ],
        // How busy an instance is, is the mesh's business.
        response_headers_to_remove: ["endpoint-load-metrics"],
        typed_per_filter_config: {
          "envoy.filters.http.cors": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.cors.v3.CorsPolicy",
            allow_origin_string_match: input.corsOrigins.map((origin) => ({
              safe_regex: { regex: originPattern(origin) },
            })),
            allow_methods: "GET, POST, PUT, PATCH, DELETE, OPTIONS",
            allow_headers: [
              "authorization",
              "content-type",
              "grpc-timeout",
              "traceparent",
              "tracestate",
              "x-grpc-web",
              "x-user-agent",
              SERVICE_HEADER,
            ].join(", "),
            expose_headers: "grpc-status, grpc-message, grpc-status-details-bin, x-uait-trace-id",
            max_age: "600",
            forward_not_matching_preflights: false,
          },
          "envoy.filters.http.grpc_json_transcoder": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.grpc_json_transcoder.v3.GrpcJsonTranscoder",
            proto_descriptor: input.descriptorFile,
            services: rest,
            // Errors as google.rpc.Status in JSON, details included.
            convert_grpc_status: true,
            print_options: { stream_newline_delimited: true },
            request_validation_options: {
              reject_unknown_query_parameters: true,
              reject_binding_body_field_collisions: true,
            },
            max_request_body_size: input.maxRestBytes,
            max_response_body_size: input.maxRestBytes,
          },
        },
        routes: routesOf("edge", input),
      },
    ],
  };
}

/** Route table `mesh`. */
export function meshRoutes(input: RouteInput): object {
  return {
    name: "mesh",
    virtual_hosts: [
      {
        name: "mesh",
        domains: ["*"],
        // Requests up to this size can be repeated.
        request_body_buffer_limit: 1_048_576,
        routes: routesOf("mesh", input),
      },
    ],
  };
}

function originPattern(origin: string): string {
  return origin
    .split("*")
    .map((part) => part.replace(/[.+?^${}()|[\]\\]/g, "\\$&"))
    .join("[A-Za-z0-9-]+");
}
