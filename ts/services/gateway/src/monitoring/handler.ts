import {
  type GetTopologyResponse_Edge,
  type MonitoringServiceImplementation,
  type Breaker as ProtoBreaker,
  Health as ProtoHealth,
  type GetMeshHealthResponse_ServiceHealth as ProtoServiceHealth,
} from "@uait/gen/uait/gateway/v1/monitoring.js";
import { durationToMillis, millisToDuration, pageOf, type ServerCallContext } from "@uait/kit";
import { GatewayError } from "../error.js";
import { type Breaker, type Health, type MeshView, type ServiceHealth, worst } from "./mesh-view.js";
import { type Edge, edgesOf } from "./topology.js";
import type { Traces } from "./traces.js";

/** The handlers of MonitoringService. */
export function createMonitoringHandler(options: {
  /** `undefined` when the process was not told where the catalogue and Envoy are. */
  readonly view: MeshView | undefined;
  /** `undefined` when the process was not told where Jaeger is. */
  readonly traces: Traces | undefined;
  /** Unix time in milliseconds. */
  readonly now: () => number;
}): MonitoringServiceImplementation<ServerCallContext> {
  const { now } = options;
  const view = (what: string): MeshView => {
    if (options.view !== undefined) return options.view;
    throw new GatewayError({ kind: "not_implemented", what, why: "UAIT_CATALOGUE and UAIT_ENVOY_ADMIN are not set" });
  };
  return {
    async getMeshHealth() {
      const mesh = view("GetMeshHealth");
      const [services, infrastructure] = await Promise.all([mesh.services(), mesh.infrastructure()]);
      return {
        health: HEALTH[worst(services, infrastructure)],
        services: services.map(fromService),
        infrastructure: infrastructure.map(({ name, health, detail }) => ({ name, health: HEALTH[health], detail })),
        time: new Date(now()),
      };
    },

    async listBreakers(request) {
      const items = await view("ListBreakers").breakers(request.service);
      const page = pageOf({ items, request, keyOf: ({ service }) => service });
      return { breakers: page.items.map(fromBreaker), nextPageToken: page.nextPageToken };
    },

    async resetBreaker() {
      const why = "Envoy has no way to take an ejected endpoint back before its time, which is at most 30 s";
      throw new GatewayError({ kind: "not_implemented", what: "ResetBreaker", why });
    },

    async getTopology({ window }) {
      const mesh = view("GetTopology");
      const endMs = now();
      const startMs = endMs - (window === undefined ? DEFAULT_WINDOW_MS : durationToMillis(window));
      if (options.traces === undefined)
        throw new GatewayError({ kind: "not_implemented", what: "GetTopology", why: "UAIT_JAEGER_URL is not set" });
      const [health, calls] = await Promise.all([mesh.services(), options.traces.calls({ startMs, endMs })]);
      const healthOf = new Map(health.map((each) => [each.service, each.health]));
      return {
        nodes: mesh.declared.map(({ name, language, grpc }) => ({
          service: name,
          language,
          grpcServices: [...grpc],
          health: HEALTH[healthOf.get(name) ?? "down"],
        })),
        edges: edgesOf(mesh.declared, calls).map(fromEdge),
      };
    },
  };
}

const DEFAULT_WINDOW_MS = 3_600_000;

const HEALTH: Readonly<Record<Health, ProtoHealth>> = {
  up: ProtoHealth.HEALTH_UP,
  degraded: ProtoHealth.HEALTH_DEGRADED,
  down: ProtoHealth.HEALTH_DOWN,
};

function fromService(each: ServiceHealth): ProtoServiceHealth {
  const { service, health, endpoints, replicas, rps, errorRate, p50Ms, p99Ms, troubles } = each;
  return {
    service,
    health: HEALTH[health],
    endpoints,
    replicas,
    rps,
    errorRate,
    p50: p50Ms === undefined ? undefined : millisToDuration(p50Ms),
    p99: p99Ms === undefined ? undefined : millisToDuration(p99Ms),
    troubles: [...troubles],
  };
}

function fromEdge({ caller, callee, declared, calls, errorRate, p50Ms }: Edge): GetTopologyResponse_Edge {
  const p50 = p50Ms === undefined ? undefined : millisToDuration(p50Ms);
  return { caller, callee, declared, calls: BigInt(calls), errorRate, p50 };
}

function fromBreaker({ service, open, limits, ejections }: Breaker): ProtoBreaker {
  return {
    service,
    open,
    limits: limits.map(({ name, limit, used, refused }) => ({
      name,
      limit: BigInt(limit),
      used: BigInt(used),
      refused: BigInt(refused),
    })),
    // Envoy tells neither when an endpoint was ejected nor, of several causes that it ever had, by which.
    ejections: ejections.map(({ address, why }) => ({ address, why, since: undefined })),
  };
}
