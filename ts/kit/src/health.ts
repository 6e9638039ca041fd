import { HealthDefinition, HealthServiceImpl, HealthState } from "nice-grpc-server-health";

/** Name under which health tells of the event log. */
export const EVENTS_HEALTH = "events";

/** State of `grpc.health.v1` for a process: the empty name, each gRPC service, and `events`. */
export class Health {
  static readonly definition = HealthDefinition;
  readonly #state = HealthState();
  readonly #names: readonly string[];
  readonly #end = new AbortController();
  #draining = false;

  constructor(services: readonly string[]) {
    this.#names = ["", ...services];
    this.#state.setMaxListeners(0);
    // Unhealthy until the server listens.
    for (const name of this.#names) this.#state.setStatus("unhealthy", name);
    this.#state.setStatus("unhealthy", EVENTS_HEALTH);
  }

  get serving(): boolean {
    return this.#state.getStatus("") === "healthy";
  }

  setServing(): void {
    if (this.#draining) return;
    for (const name of this.#names) this.#state.setStatus("healthy", name);
  }

  setEvents(up: boolean): void {
    this.#state.setStatus(up && !this.#draining ? "healthy" : "unhealthy", EVENTS_HEALTH);
  }

  setDraining(): void {
    this.#draining = true;
    for (const name of [...this.#names, EVENTS_HEALTH]) this.#state.setStatus("unhealthy", name);
  }

  /** Ends every Watch, which no caller would, so that the server can close. */
  endWatches(): void {
    this.#end.abort();
  }

  implementation(): ReturnType<typeof HealthServiceImpl> {
    const implementation = HealthServiceImpl(this.#state);
    return {
      check: (request, context) => implementation.check(request, context),
      watch: (request, context) =>
        implementation.watch(request, { ...context, signal: AbortSignal.any([context.signal, this.#end.signal]) }),
    };
  }
}
