import { Status } from "@uait/kit";
import type { EnvoyStats, HistogramBucket } from "./envoy-admin.js";

/** Envoy's figures at a moment: Unix time in milliseconds. */
export interface Sample extends EnvoyStats {
  readonly atMs: number;
}

/** How the calls of a service went. */
export interface Traffic {
  /** Calls a second. */
  readonly rps: number;
  /** Share that ended in a server's fault: 0 to 1; 0 without calls. */
  readonly errorRate: number;
  /** `undefined` without calls. */
  readonly p50Ms: number | undefined;
  readonly p99Ms: number | undefined;
}

/** Names that a sample must have, for `EnvoyAdmin.stats`: gRPC statuses and times by cluster. */
export const TRAFFIC_STATS = "^cluster\\.[a-z0-9-]+\\.(grpc\\.(.+\\.)?\\d+|upstream_rq_time)$";

// What a server is to blame for (OpenTelemetry's RPC conventions).
const FAULTS: ReadonlySet<number> = new Set<number>([
  Status.UNKNOWN,
  Status.DEADLINE_EXCEEDED,
  Status.INTERNAL,
  Status.UNAVAILABLE,
  Status.DATA_LOSS,
]);

/** The traffic of a service between two samples; an Envoy that started anew between them counts from its start. */
export function trafficOf(service: string, before: Sample | undefined, after: Sample): Traffic {
  const seconds = before === undefined ? 0 : (after.atMs - before.atMs) / 1000;
  let calls = 0;
  let faults = 0;
  for (const [name, value] of after.values) {
    const status = statusOf(service, name);
    if (status === undefined) continue;
    const grown = growth(before?.values.get(name) ?? 0, value);
    calls += grown;
    if (FAULTS.has(status)) faults += grown;
  }
  const times = timesOf(service, before, after);
  return {
    rps: seconds > 0 ? calls / seconds : 0,
    errorRate: calls === 0 ? 0 : faults / calls,
    p50Ms: percentile(times, 0.5),
    p99Ms: percentile(times, 0.99),
  };
}

function statusOf(service: string, name: string): number | undefined {
  const prefix = `cluster.${service}.grpc.`;
  if (!name.startsWith(prefix)) return undefined;
  const last = name.slice(name.lastIndexOf(".") + 1);
  return /^\d+$/.test(last) ? Number(last) : undefined;
}

function growth(before: number, after: number): number {
  return after >= before ? after - before : after;
}

function timesOf(service: string, before: Sample | undefined, after: Sample): HistogramBucket[] {
  const name = `cluster.${service}.upstream_rq_time`;
  const earlier = new Map(before?.histograms.get(name)?.map(({ upperBound, count }) => [upperBound, count]));
  return (after.histograms.get(name) ?? []).map(({ upperBound, count }) => ({
    upperBound,
    count: growth(earlier.get(upperBound) ?? 0, count),
  }));
}

/** The value below which a share of the values lies, as if they were spread evenly within their bucket. */
export function percentile(buckets: readonly HistogramBucket[], share: number): number | undefined {
  const total = buckets.reduce((sum, { count }) => sum + count, 0);
  if (total === 0) return undefined;
  let left = share * total;
  let lowerBound = 0;
  for (const { upperBound, count } of buckets) {
    if (count > 0 && left <= count) return lowerBound + (upperBound - lowerBound) * (left / count);
    left -= count;
    lowerBound = upperBound;
  }
  return lowerBound;
}
