import { KeyedWaiters } from "./keyed-waiters.js";

/** What the consumer saw of an event. */
export interface ReceivedEvent {
  readonly message: string;
  /** W3C trace id of the span in which it was handled. */
  readonly traceId: string;
  readonly source: string;
  /** How many times the handler ran for it; more than once would be a fault of the kit. */
  readonly handled: number;
}

/** The events that this service handled: the last 10,000 of them. */
export class ReceivedEvents {
  readonly #events: KeyedWaiters<ReceivedEvent>;

  constructor(capacity = 10_000) {
    this.#events = new KeyedWaiters(capacity);
  }

  record(tenant: string, eventId: string, event: Omit<ReceivedEvent, "handled">): void {
    const key = eventKey(tenant, eventId);
    const handled = (this.#events.get(key)?.handled ?? 0) + 1;
    this.#events.set(key, { ...event, handled });
  }

  /** An event of the tenant, once it has been handled. @throws the signal's reason when that comes first. */
  wait(tenant: string, eventId: string, signal: AbortSignal): Promise<ReceivedEvent> {
    return this.#events.wait(eventKey(tenant, eventId), signal);
  }
}

function eventKey(tenant: string, eventId: string): string {
  return `${tenant}/${eventId}`;
}
