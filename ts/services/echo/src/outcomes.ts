import { KeyedWaiters } from "./keyed-waiters.js";

/** How a call ended. */
export interface Outcome {
  /** Name of the gRPC code, such as "CANCELLED". */
  readonly code: string;
  readonly endedAt: Date;
}

/** How the calls that gave themselves a name ended: the last 10,000 of them. */
export class Outcomes {
  readonly #ended: KeyedWaiters<Outcome>;

  constructor(capacity = 10_000) {
    this.#ended = new KeyedWaiters(capacity);
  }

  record(tenant: string, callId: string, outcome: Outcome): void {
    this.#ended.set(key(tenant, callId), outcome);
  }

  /** The outcome of a call, once it has ended. @throws the signal's reason when that comes first. */
  wait(tenant: string, callId: string, signal: AbortSignal): Promise<Outcome> {
    return this.#ended.wait(key(tenant, callId), signal);
  }
}

function key(tenant: string, callId: string): string {
  return `${tenant}/${callId}`;
}
