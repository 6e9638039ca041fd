import { stringify } from "yaml";
import type { Layout } from "../layout.js";

/** Traces that Jaeger keeps in memory: at about 2 KiB a span and 10 spans a trace, below its memory limit. */
const MAX_TRACES = 10_000;

/** Where a piece of infrastructure listens and keeps its data. */
export interface Ground {
  readonly mesh: Layout;
  /** Folder of its data. */
  readonly data: string;
}

/**
 * NATS: JetStream with every write synced before it is acknowledged. With the default of two minutes acknowledged
 * writes were lost when power failed (Jepsen, NATS 2.12.1).
 */
export function natsConfig({ mesh, data }: Ground): string {
  return `# Made from deploy/mesh.yaml.
server_name: uait
host: ${JSON.stringify(mesh.bind)}
port: ${mesh.port("nats", "client")}
http: ${JSON.stringify(`${mesh.bind}:${mesh.port("nats", "monitor")}`)}
max_payload: 4194304
jetstream {
  store_dir: ${JSON.stringify(data)}
  sync_interval: always
  max_memory_store: 67108864
  max_file_store: 10737418240
}
`;
}

/** Jaeger: spans over OTLP into bounded memory, queries over HTTP and gRPC. */
export function jaegerConfig({ mesh }: Ground): string {
  const at = (port: string): string => `${mesh.bind}:${mesh.port("jaeger", port)}`;
  return `# Made from deploy/mesh.yaml.\n${stringify({
    service: {
      extensions: ["jaeger_storage", "jaeger_query", "healthcheckv2"],
      pipelines: {
        traces: { receivers: ["otlp"], processors: ["batch"], exporters: ["jaeger_storage_exporter"] },
      },
      telemetry: { resource: { "service.name": "jaeger" }, metrics: { level: "none" }, logs: { level: "warn" } },
    },
    extensions: {
      jaeger_storage: { backends: { memory: { memory: { max_traces: MAX_TRACES } } } },
      jaeger_query: {
        storage: { traces: "memory" },
        http: { endpoint: at("query") },
        grpc: { endpoint: at("query_grpc") },
      },
      healthcheckv2: { use_v2: true, http: { endpoint: at("health") } },
    },
    receivers: { otlp: { protocols: { grpc: { endpoint: at("otlp") } } } },
    processors: { batch: { timeout: "200ms", send_batch_size: 512 } },
    exporters: { jaeger_storage_exporter: { trace_storage: "memory" } },
  })}`;
}

/** Jaeger's environment: it traces its own queries otherwise, and waits at its end until these are sent. */
export const JAEGER_ENVIRONMENT: Readonly<Record<string, string>> = { OTEL_TRACES_SAMPLER: "always_off" };

/** Weaviate's environment: one node, no modules, no calls home. */
export function weaviateEnvironment({ mesh, data }: Ground): Record<string, string> {
  const port = (name: string): string => String(mesh.port("weaviate", name));
  return {
    PERSISTENCE_DATA_PATH: data,
    DEFAULT_VECTORIZER_MODULE: "none",
    ENABLE_MODULES: "",
    DISABLE_TELEMETRY: "true",
    AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED: "true",
    QUERY_DEFAULTS_LIMIT: "25",
    LOG_LEVEL: "warning",
    GO_PROFILING_DISABLE: "true",
    GRPC_PORT: port("grpc"),
    CLUSTER_HOSTNAME: "uait",
    CLUSTER_ADVERTISE_ADDR: "127.0.0.1",
    CLUSTER_BIND_ADDR: "127.0.0.1",
    CLUSTER_IN_LOCALHOST: "true",
    CLUSTER_GOSSIP_BIND_PORT: port("gossip"),
    CLUSTER_DATA_BIND_PORT: port("data"),
    RAFT_PORT: port("raft"),
    RAFT_INTERNAL_RPC_PORT: port("raft_rpc"),
    RAFT_BOOTSTRAP_EXPECT: "1",
    // Five by default, for slow networks between nodes: the only node would wait that much longer before it elects itself.
    RAFT_TIMEOUTS_MULTIPLIER: "1",
  };
}
