import { isIP } from "node:net";
import type { Address, Backend, HttpBackend } from "./backend.js";
import { type TlsFiles, upstreamTls } from "./tls.js";

/** Options of clusters. */
export interface ClusterOptions {
  /** Mutual TLS towards the services; plain when absent. */
  readonly tls?: TlsFiles | undefined;
}

/**
 * The clusters of a service: `<name>` takes endpoints from the balancer (`<name>-eds`) while it has healthy ones, and the
 * catalogue's addresses (`<name>-static`) otherwise, so that neither a stopped balancer nor a cold start stops traffic.
 */
export function clustersOf(backend: Backend, options: ClusterOptions = {}): object[] {
  return [
    {
      name: backend.name,
      connect_timeout: "1s",
      lb_policy: "CLUSTER_PROVIDED",
      cluster_type: {
        name: "envoy.clusters.aggregate",
        typed_config: {
          "@type": "type.googleapis.com/envoy.extensions.clusters.aggregate.v3.ClusterConfig",
          clusters: [`${backend.name}-eds`, `${backend.name}-static`],
        },
      },
      common_lb_config: panicWhenNobodyIsLeft,
      // The router counts retries against the cluster of the route.
      circuit_breakers: circuitBreakers,
    },
    {
      name: `${backend.name}-eds`,
      type: "EDS",
      eds_cluster_config: {
        service_name: backend.name,
        eds_config: { ads: {}, resource_api_version: "V3", initial_fetch_timeout: "1s" },
      },
      // A lease that ended means gone, whatever the last check said.
      ignore_health_on_host_removal: true,
      ...endpoints(backend, options),
    },
    staticCluster(backend, `${backend.name}-static`, options),
    ...(backend.http === undefined ? [] : [httpCluster(backend.name, backend.http)]),
  ];
}

/**
 * The cluster of a service's HTTP port, by the catalogue's addresses: leases tell of gRPC ports only. Plain under mutual TLS too
 * (decision 0001), so these ports must not leave the machine.
 */
function httpCluster(name: string, { addresses }: HttpBackend): object {
  return {
    name: `${name}-http`,
    ...staticEndpoints(`${name}-http`, addresses),
    connect_timeout: "1s",
    per_connection_buffer_limit_bytes: 1_048_576,
    common_lb_config: panicWhenNobodyIsLeft,
    load_balancing_policy: leastRequest,
    circuit_breakers: circuitBreakers,
    health_checks: [{ ...healthCheck, http_health_check: { path: "/healthz" } }],
    outlier_detection: outlierDetection,
    typed_extension_protocol_options: {
      "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        // Sooner than the services (75 s in the TypeScript kit): a request must not meet a connection that is being closed.
        common_http_protocol_options: { idle_timeout: "30s" },
        explicit_http_config: { http_protocol_options: {} },
      },
    },
  };
}

/** A cluster of the catalogue's addresses alone. */
export function staticCluster(backend: Backend, name: string, options: ClusterOptions = {}): object {
  return {
    name,
    ...staticEndpoints(name, backend.addresses),
    ...endpoints(backend, options),
  };
}

function staticEndpoints(name: string, addresses: readonly Address[]): object {
  return {
    type: addresses.every(({ host }) => isIP(host) !== 0) ? "STATIC" : "STRICT_DNS",
    load_assignment: { cluster_name: name, endpoints: [{ lb_endpoints: addresses.map(endpoint) }] },
  };
}

function endpoints(backend: Backend, { tls }: ClusterOptions): object {
  return {
    connect_timeout: "1s",
    per_connection_buffer_limit_bytes: 1_048_576,
    common_lb_config: panicWhenNobodyIsLeft,
    load_balancing_policy: leastRequest,
    circuit_breakers: circuitBreakers,
    health_checks: [
      {
        ...healthCheck,
        grpc_health_check: backend.healthService === "" ? {} : { service_name: backend.healthService },
      },
    ],
    outlier_detection: outlierDetection,
    upstream_connection_options: { tcp_keepalive: { keepalive_time: 30, keepalive_interval: 10, keepalive_probes: 3 } },
    typed_extension_protocol_options: {
      "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        explicit_http_config: {
          http2_protocol_options: { initial_stream_window_size: 1_048_576, initial_connection_window_size: 16_777_216 },
        },
      },
    },
    ...(tls === undefined ? {} : { transport_socket: upstreamTls(tls) }),
  };
}

function endpoint({ host, port }: Address): object {
  return { endpoint: { address: { socket_address: { address: host, port_value: port } } } };
}

const healthCheck = {
  timeout: "1s",
  interval: "1s",
  // Envoy's default of 60 s would leave a service that starts after Envoy alone for a minute.
  no_traffic_interval: "1s",
  unhealthy_threshold: 2,
  healthy_threshold: 1,
};

// A draining service says NOT_SERVING and still takes calls: where it is the only one, it gets them.
const panicWhenNobodyIsLeft = { healthy_panic_threshold: { value: 1 } };

const leastRequest = {
  policies: [
    {
      typed_extension_config: {
        name: "envoy.load_balancing_policies.least_request",
        typed_config: {
          "@type": "type.googleapis.com/envoy.extensions.load_balancing_policies.least_request.v3.LeastRequest",
          choice_count: 2,
          // By zone, as far as the balancer gives zones.
          locality_lb_config: { zone_aware_lb_config: { min_cluster_size: 2 } },
        },
      },
    },
  ],
};

// Above what four replicas take at once (UAIT_MAX_INFLIGHT): they refuse with a reason, Envoy's breaker only guards Envoy.
const circuitBreakers = {
  thresholds: [
    {
      priority: "DEFAULT",
      max_connections: 1024,
      max_pending_requests: 16_384,
      max_requests: 16_384,
      // The floor is what a killed replica takes: all calls under way on it want a second try at once (Envoy allows 3; of 16
      // callers up to 11 lost a call). Where hundreds are under way, the 20 % hold.
      retry_budget: { budget_percent: { value: 20 }, min_retry_concurrency: 25 },
    },
  ],
};

// Connections refused, reset or timed out eject an endpoint. What a service answers does not: DEADLINE_EXCEEDED and INTERNAL
// count as 5xx, and callers can cause both; what a service thinks of itself is asked by the health check.
const outlierDetection = {
  split_external_local_origin_errors: true,
  consecutive_local_origin_failure: 3,
  enforcing_consecutive_local_origin_failure: 100,
  enforcing_local_origin_success_rate: 0,
  enforcing_consecutive_5xx: 0,
  enforcing_consecutive_gateway_failure: 0,
  enforcing_success_rate: 0,
  interval: "1s",
  base_ejection_time: "2s",
  max_ejection_time: "30s",
  max_ejection_percent: 100,
};
