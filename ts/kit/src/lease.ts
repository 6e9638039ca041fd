import { setTimeout as delay } from "node:timers/promises";
import {
  BalancerServiceDefinition,
  type RegisterEndpointRequest,
  type RegisterEndpointResponse,
} from "@uait/gen/uait/intelligent_load_balancer/v1/intelligent_load_balancer.js";
import type { KitConfig } from "./config.js";
import type { Mesh, MeshClient } from "./dial.js";
import { durationToMillis } from "./duration.js";
import type { LoadMeter } from "./load.js";
import { describeError, type Logger } from "./log.js";
import type { SurroundingState } from "./surroundings.js";

const FIRST_BACKOFF_MS = 200;
const MAX_BACKOFF_MS = 5000;
// Until the balancer has named its ttl.
const ASSUMED_TTL_MS = 3000;
const WITHDRAWAL_LIMIT_MS = 1000;
// The balancer answers each renewal, a third of a ttl apart: this much silence is not a late answer.
const SILENT_TTLS = 2;

interface LeaseOptions {
  readonly config: Pick<KitConfig, "service" | "instance" | "host" | "zone">;
  /** The port on which it takes gRPC. */
  readonly port: number;
  readonly mesh: Mesh;
  readonly load: LoadMeter;
  readonly log: Logger;
}

/** Membership in the balancer's endpoints for as long as it runs; traffic does not depend on it. */
export class Lease {
  readonly #options: LeaseOptions;
  readonly #client: MeshClient<typeof BalancerServiceDefinition>;
  readonly #withdraw = new AbortController();
  readonly #cut = new AbortController();
  readonly #running: Promise<void>;
  #ttlMs = ASSUMED_TTL_MS;
  #state: "up" | "down" | "unknown" = "unknown";
  #heardMs = performance.now();

  constructor(options: LeaseOptions) {
    this.#options = options;
    this.#client = options.mesh.client(BalancerServiceDefinition);
    this.#running = this.#run();
  }

  /** Whether the balancer holds the lease. */
  get state(): SurroundingState {
    return performance.now() - this.#heardMs > this.#ttlMs * SILENT_TTLS ? "down" : this.#state;
  }

  /** Half-closes, by which the balancer knows that the endpoint leaves of its own will. */
  async withdraw(): Promise<void> {
    this.#withdraw.abort();
    const timer = setTimeout(() => this.#cut.abort(), WITHDRAWAL_LIMIT_MS);
    await this.#running;
    clearTimeout(timer);
  }

  async #run(): Promise<void> {
    const { log } = this.#options;
    const { signal } = this.#withdraw;
    let backoffMs = FIRST_BACKOFF_MS;
    while (!signal.aborted) {
      try {
        const options = { signal: this.#cut.signal, untraced: true };
        for await (const response of this.#client.registerEndpoint(this.#messages(), options)) {
          if (backoffMs !== FIRST_BACKOFF_MS) log.info("the lease is held");
          backoffMs = FIRST_BACKOFF_MS;
          this.#state = "up";
          this.#heardMs = performance.now();
          this.#renewAfter(response);
        }
      } catch (error) {
        if (signal.aborted) return;
        if (backoffMs === FIRST_BACKOFF_MS) log.warn("no lease: the balancer is away", { error: describeError(error) });
      }
      this.#state = "down";
      await delay(backoffMs, undefined, { signal }).catch(() => undefined);
      backoffMs = Math.min(backoffMs * 2, MAX_BACKOFF_MS);
    }
  }

  #renewAfter({ ttl }: RegisterEndpointResponse): void {
    const ttlMs = durationToMillis(ttl);
    if (ttlMs > 0) this.#ttlMs = ttlMs;
  }

  async *#messages(): AsyncGenerator<RegisterEndpointRequest> {
    const { config, load, port } = this.#options;
    const { service, instance, host, zone } = config;
    yield { action: { $case: "register", value: { service, instance, host, port, zone } } };
    for (;;) {
      await delay(this.#ttlMs / 3, undefined, { signal: this.#withdraw.signal, ref: false }).catch(() => undefined);
      if (this.#withdraw.signal.aborted) return;
      yield { action: { $case: "renew", value: { ...load.utilisation } } };
    }
  }
}
