import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";

// From the half millisecond of a local hop to the default deadline of 30 s.
const DURATION_BUCKETS_SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

/** The Prometheus metrics that every service has. */
export class Metrics {
  readonly registry = new Registry();
  readonly duration = new Histogram({
    name: "rpc_server_duration_seconds",
    help: "Time from the arrival of a call to its status.",
    labelNames: ["rpc_service", "rpc_method", "rpc_grpc_status_code"] as const,
    buckets: DURATION_BUCKETS_SECONDS,
    registers: [this.registry],
  });
  readonly inFlight = new Gauge({
    name: "rpc_server_in_flight",
    help: "Calls that have arrived and not ended.",
    registers: [this.registry],
  });
  readonly eventsPublished = new Counter({
    name: "events_published_total",
    help: "Events given to JetStream, by what came of it.",
    labelNames: ["area", "outcome"] as const,
    registers: [this.registry],
  });
  readonly eventsHandled = new Counter({
    name: "events_handled_total",
    help: "Events received from JetStream, by what came of it.",
    labelNames: ["area", "outcome"] as const,
    registers: [this.registry],
  });

  constructor() {
    collectDefaultMetrics({ register: this.registry });
  }
}
