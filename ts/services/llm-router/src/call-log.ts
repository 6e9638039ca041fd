import type { Events, Logger } from "@uait/kit";
import { EVENT_AREA, toEvent } from "./call-event.js";
import type { FinishedCall } from "./router.js";
import type { Caller } from "./upstream.js";

/** How long an event is tried to be stored after its call has ended, in milliseconds. */
const PUBLISH_TIMEOUT_MS = 10_000;
/** Most events that wait for NATS; past these they are dropped, and counted as failed by the kit's metric. */
const MAX_WAITING = 10_000;

/** Publishes each call that ended, beside the answers, which never wait for it. */
export class CallLog {
  readonly #events: Events;
  readonly #log: Logger;
  readonly #now: () => number;
  readonly #waiting = new Set<Promise<void>>();

  constructor(options: { readonly events: Events; readonly log: Logger; readonly now: () => number }) {
    this.#events = options.events;
    this.#log = options.log;
    this.#now = options.now;
  }

  publish(call: FinishedCall, from: Caller): void {
    if (this.#events.state === "off") return;
    if (this.#waiting.size >= MAX_WAITING) {
      this.#log.warn("a call's event is dropped: too many wait for nats", { model: call.model.name });
      return;
    }
    const publishing = this.#publish(call, from).finally(() => this.#waiting.delete(publishing));
    this.#waiting.add(publishing);
  }

  /** Returns when every event is stored or given up. */
  async settle(): Promise<void> {
    await Promise.all(this.#waiting);
  }

  // The call's own signal is of no use: it has ended.
  async #publish(call: FinishedCall, { identity, span }: Caller): Promise<void> {
    const from = {
      identity: { ...identity },
      span,
      deadlineMs: this.#now() + PUBLISH_TIMEOUT_MS,
      signal: new AbortController().signal,
    };
    try {
      await this.#events.publish({ area: EVENT_AREA, payload: toEvent(call, identity.subject), from });
    } catch (error) {
      this.#log.warn("a call's event is not stored", { model: call.model.name, error });
    }
  }
}
