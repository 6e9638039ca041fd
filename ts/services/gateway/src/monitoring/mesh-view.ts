import type { DeclaredService } from "./catalogue.js";
import type { EnvoyAdmin, EnvoyCluster } from "./envoy-admin.js";
import type { Sampler } from "./sampler.js";
import { type Traffic, trafficOf } from "./traffic.js";

export type Health = "up" | "degraded" | "down";

/** How a service is. */
export interface ServiceHealth extends Traffic {
  readonly service: string;
  readonly health: Health;
  /** Endpoints that take calls. */
  readonly endpoints: number;
  readonly replicas: number;
  /** Health checks that are not SERVING. */
  readonly troubles: readonly string[];
}

export interface InfrastructureHealth {
  readonly name: string;
  readonly health: Health;
  /** What is wrong, in words; empty when nothing. */
  readonly detail: string;
}

/** What keeps calls away from a service. */
export interface Breaker {
  readonly service: string;
  readonly open: boolean;
  readonly limits: readonly {
    readonly name: string;
    readonly limit: number;
    readonly used: number;
    readonly refused: number;
  }[];
  readonly ejections: readonly { readonly address: string; readonly why: string }[];
}

export interface MeshViewOptions {
  readonly services: readonly DeclaredService[];
  readonly admin: EnvoyAdmin;
  readonly sampler: Sampler;
  /** Health checks of a service that are not SERVING, asked through the mesh. */
  readonly troublesOf: (service: string) => Promise<string[]>;
  /** Name and URL of what answers 200 while it is well. */
  readonly infrastructure: readonly { readonly name: string; readonly url: string }[];
}

const PROBE_TIMEOUT_MS = 1000;

// Limits of Envoy that are shown, with the gauge of what is under way, the counter of what was refused and the switch.
const LIMITS = [
  { name: "max_connections", used: "upstream_cx_active", refused: "upstream_cx_overflow", open: "cx_open" },
  {
    name: "max_pending_requests",
    used: "upstream_rq_pending_active",
    refused: "upstream_rq_pending_overflow",
    open: "rq_pending_open",
  },
  { name: "max_requests", used: "upstream_rq_active", refused: "upstream_rq_active_overflow", open: "rq_open" },
] as const;
const ENFORCED = "outlier_detection.ejections_enforced_";
const BREAKER_STATS = `\\.(${LIMITS.map(({ used, refused }) => `${used}|${refused}`).join("|")}|circuit_breakers\\.default\\.\\w+_open|outlier_detection\\.ejections_enforced_\\w+)$`;

/** The mesh as Envoy sees it. */
export class MeshView {
  readonly #options: MeshViewOptions;

  constructor(options: MeshViewOptions) {
    this.#options = options;
  }

  /** @throws StatusError when Envoy's admin listener is away */
  async services(): Promise<ServiceHealth[]> {
    const { services, admin, sampler, troublesOf } = this.#options;
    const [clusters, { before, after }] = await Promise.all([admin.clusters(), sampler.look()]);
    return await Promise.all(
      services.map(async ({ name, replicas }) => {
        const endpoints = clusterOf(clusters, name)?.endpoints.filter(({ healthy }) => healthy).length ?? 0;
        const troubles = endpoints === 0 ? [] : await troublesOf(name);
        const whole = endpoints >= replicas && troubles.length === 0;
        const health = endpoints === 0 ? "down" : whole ? "up" : "degraded";
        return { service: name, health, endpoints, replicas, troubles, ...trafficOf(name, before, after) };
      }),
    );
  }

  /** The services that are declared and have a process, by name. */
  get declared(): readonly DeclaredService[] {
    return this.#options.services;
  }

  async infrastructure(): Promise<InfrastructureHealth[]> {
    const found = await Promise.all(
      this.#options.infrastructure.map(async ({ name, url }): Promise<InfrastructureHealth> => {
        try {
          const response = await fetch(url, { signal: AbortSignal.timeout(PROBE_TIMEOUT_MS) });
          await response.body?.cancel();
          if (response.ok) return { name, health: "up", detail: "" };
          return { name, health: "down", detail: `its health check answers ${response.status}` };
        } catch {
          return { name, health: "down", detail: "it does not answer" };
        }
      }),
    );
    return found.sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** @param service only this one; empty for all. @throws StatusError when Envoy's admin listener is away */
  async breakers(service: string): Promise<Breaker[]> {
    const { services, admin } = this.#options;
    const [clusters, { values }] = await Promise.all([admin.clusters(), admin.stats(BREAKER_STATS)]);
    return services
      .filter(({ name }) => service === "" || name === service)
      .flatMap(({ name }) => {
        const cluster = clusterOf(clusters, name);
        return cluster === undefined ? [] : [breakerOf(name, cluster, values)];
      });
  }
}

/** The worst of all; infrastructure that is away is no more than a degradation. */
export function worst(services: readonly ServiceHealth[], infrastructure: readonly InfrastructureHealth[]): Health {
  if (services.some(({ health }) => health === "down")) return "down";
  const degraded = services.some(({ health }) => health === "degraded");
  return degraded || infrastructure.some(({ health }) => health !== "up") ? "degraded" : "up";
}

// The balancer's endpoints, or while it knows none the catalogue's (decision 0031).
function clusterOf(clusters: ReadonlyMap<string, EnvoyCluster>, service: string): EnvoyCluster | undefined {
  const eds = clusters.get(`${service}-eds`);
  return eds?.endpoints.some(({ healthy }) => healthy) ? eds : (clusters.get(`${service}-static`) ?? eds);
}

function breakerOf(service: string, cluster: EnvoyCluster, values: ReadonlyMap<string, number>): Breaker {
  const value = (name: string) => values.get(`cluster.${cluster.name}.${name}`) ?? 0;
  const limits = LIMITS.flatMap(({ name, used, refused }) => {
    const limit = cluster.limits.get(name);
    return limit === undefined ? [] : [{ name, limit, used: value(used), refused: value(refused) }];
  });
  const prefix = `cluster.${cluster.name}.${ENFORCED}`;
  const causes = [...values]
    .filter(([name, count]) => count > 0 && name.startsWith(prefix) && !name.endsWith("_total"))
    .map(([name]) => name.slice(prefix.length));
  return {
    service,
    open: LIMITS.some(({ open }) => value(`circuit_breakers.default.${open}`) > 0),
    limits,
    ejections: cluster.endpoints
      .filter(({ ejected }) => ejected)
      .map(({ address }) => ({ address, why: causes.join(", ") })),
  };
}
