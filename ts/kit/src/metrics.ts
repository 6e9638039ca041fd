import { Counter, collectDefaultMetrics, Gauge, Registry } from "prom-client";
import { CallDurations } from "./call-durations.js";

/** The Prometheus metrics that every service has. */
export class Metrics {
  readonly registry = new Registry();
  readonly durations = new CallDurations();
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

  /** All of them, in Prometheus' text format. */
  async text(): Promise<string> {
    return `${await this.registry.metrics()}\n${this.durations.text()}`;
  }
}
