import type { WorkContext } from "@uait/kit";
import type { Fact, Recorded } from "./run-store.js";

/**
 * The facts of runs, in order, on disk. What is appended is known to every reader, this replica included; a fact with a
 * key that was appended before is stored once.
 */
export interface Journal {
  /** Returns when the fact is stored. @throws StatusError UNAVAILABLE when it is not by the deadline of `from` */
  append(fact: Fact, key: string, from: WorkContext): Promise<void>;
  /** Hands over every fact, the oldest first, and then each as it is stored. Returns when all that was stored before has been. */
  follow(listener: (recorded: Recorded) => void, signal: AbortSignal): Promise<void>;
}

/** A journal that ends with its process: for tests, and where the event log is off. */
export class MemoryJournal implements Journal {
  readonly #facts = new Map<string, Recorded>();
  readonly #listeners = new Set<(recorded: Recorded) => void>();
  readonly #now: () => number;

  constructor(now: () => number) {
    this.#now = now;
  }

  async append(fact: Fact, key: string, { identity, span }: WorkContext): Promise<void> {
    const id = `${identity.tenant}/${key}`;
    if (this.#facts.has(id)) return;
    const recorded = { tenant: identity.tenant, time: new Date(this.#now()), traceId: span.traceId, fact };
    this.#facts.set(id, recorded);
    for (const listener of this.#listeners) listener(recorded);
  }

  async follow(listener: (recorded: Recorded) => void, signal: AbortSignal): Promise<void> {
    for (const recorded of this.#facts.values()) listener(recorded);
    this.#listeners.add(listener);
    signal.addEventListener("abort", () => this.#listeners.delete(listener), { once: true });
  }
}
