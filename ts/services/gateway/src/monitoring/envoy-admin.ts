import { dependencyUnavailable } from "@uait/kit";
import { z } from "zod";

/** Envoy's counters, gauges and histograms at one moment. */
export interface EnvoyStats {
  readonly values: ReadonlyMap<string, number>;
  readonly histograms: ReadonlyMap<string, readonly HistogramBucket[]>;
}

/** Values between the bound of the bucket before and this one, since Envoy started. */
export interface HistogramBucket {
  readonly upperBound: number;
  readonly count: number;
}

/** A cluster's limits and endpoints. */
export interface EnvoyCluster {
  readonly name: string;
  /** Limits of normal priority, such as `max_requests`. */
  readonly limits: ReadonlyMap<string, number>;
  readonly endpoints: readonly EnvoyEndpoint[];
}

export interface EnvoyEndpoint {
  /** host:port. */
  readonly address: string;
  /** Whether it gets calls. */
  readonly healthy: boolean;
  /** Whether it is ejected for failures of its connections. */
  readonly ejected: boolean;
}

const TIMEOUT_MS = 2000;

const count = z.coerce.number();
const statsPage = z.object({
  stats: z.array(
    z.object({
      name: z.string().optional(),
      value: z.unknown().optional(),
      histograms: z
        .array(
          z.object({
            name: z.string(),
            buckets: z.array(z.object({ upper_bound: z.number(), cumulative: z.number() })).default([]),
          }),
        )
        .optional(),
    }),
  ),
});
const limits = z.object({
  priority: z.string().default("DEFAULT"),
  max_connections: count.optional(),
  max_pending_requests: count.optional(),
  max_requests: count.optional(),
});
const clustersPage = z.object({
  cluster_statuses: z.array(
    z.object({
      name: z.string(),
      circuit_breakers: z.object({ thresholds: z.array(limits).default([]) }).optional(),
      host_statuses: z
        .array(
          z.object({
            address: z.object({ socket_address: z.object({ address: z.string(), port_value: z.number() }) }),
            health_status: z
              .object({
                eds_health_status: z.string().optional(),
                failed_active_health_check: z.boolean().default(false),
                failed_outlier_check: z.boolean().default(false),
              })
              .prefault({}),
          }),
        )
        .default([]),
    }),
  ),
});

/** What is read of Envoy's admin listener. */
export class EnvoyAdmin {
  readonly #url: string;

  /** @param address host:port of the admin listener */
  constructor(address: string) {
    this.#url = `http://${address}`;
  }

  /** @param filter regular expression of names. @throws StatusError DEPENDENCY_UNAVAILABLE */
  async stats(filter: string): Promise<EnvoyStats> {
    const query = `format=json&histogram_buckets=disjoint&filter=${encodeURIComponent(filter)}`;
    const { stats } = statsPage.parse(await this.#get(`/stats?${query}`));
    const values = new Map<string, number>();
    const histograms = new Map<string, HistogramBucket[]>();
    for (const { name, value, histograms: found } of stats) {
      if (name !== undefined && typeof value === "number") values.set(name, value);
      for (const { name: histogram, buckets } of found ?? [])
        histograms.set(
          histogram,
          buckets.map(({ upper_bound, cumulative }) => ({ upperBound: upper_bound, count: cumulative })),
        );
    }
    return { values, histograms };
  }

  /** By name. @throws StatusError DEPENDENCY_UNAVAILABLE */
  async clusters(): Promise<Map<string, EnvoyCluster>> {
    const { cluster_statuses } = clustersPage.parse(await this.#get("/clusters?format=json"));
    return new Map(
      cluster_statuses.map(({ name, circuit_breakers, host_statuses }) => {
        const { priority: _, ...normal } = circuit_breakers?.thresholds.find(
          ({ priority }) => priority === "DEFAULT",
        ) ?? {
          priority: "",
        };
        const known = Object.entries(normal).filter((entry): entry is [string, number] => entry[1] !== undefined);
        return [name, { name, limits: new Map(known), endpoints: host_statuses.map(endpointOf) }];
      }),
    );
  }

  async #get(path: string): Promise<unknown> {
    try {
      const response = await fetch(this.#url + path, { signal: AbortSignal.timeout(TIMEOUT_MS) });
      return await response.json();
    } catch (error) {
      throw dependencyUnavailable("envoy", error);
    }
  }
}

type HostStatus = z.infer<typeof clustersPage>["cluster_statuses"][number]["host_statuses"][number];

function endpointOf({ address: { socket_address: at }, health_status: status }: HostStatus): EnvoyEndpoint {
  const ejected = status.failed_outlier_check;
  const unwell = status.eds_health_status === "UNHEALTHY" || status.eds_health_status === "DRAINING";
  return {
    address: `${at.address}:${at.port_value}`,
    healthy: !ejected && !status.failed_active_health_check && !unwell,
    ejected,
  };
}
