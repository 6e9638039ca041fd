/** One event of a stream that can be resumed. */
export interface Numbered<Event> {
  /** From 1, rising. */
  readonly sequence: bigint;
  /** Unix time in milliseconds. */
  readonly timeMs: number;
  readonly event: Event;
}

export interface EventStreamOptions {
  /** Unix time in milliseconds. */
  readonly now: () => number;
}

/** Events that a listener may lag behind before it loses pieces of attempts, which it can do without. */
const QUEUE_LIMIT = 10_000;

interface Listener<Event> {
  readonly queue: Entry<Event>[];
  wake: (() => void) | undefined;
}

interface Entry<Event> extends Numbered<Event> {
  /** The attempt whose piece it is; pieces are not kept once the attempt has ended. */
  readonly pieceOf: string | undefined;
}

/** What happened in a run, in order: kept for those who come later, and handed to those who listen as it happens. */
export class EventStream<Event> {
  readonly #now: () => number;
  #kept: Entry<Event>[] = [];
  readonly #listeners = new Set<Listener<Event>>();
  #sequence = 0n;
  #end: { readonly error: unknown } | undefined;

  constructor({ now }: EventStreamOptions) {
    this.#now = now;
  }

  /** Number of the last event; 0 before the first. */
  get sequence(): bigint {
    return this.#sequence;
  }

  get ended(): boolean {
    return this.#end !== undefined;
  }

  /** @param pieceOf the attempt whose piece it is, where it is one */
  append(event: Event, pieceOf?: string): void {
    const entry = { sequence: ++this.#sequence, timeMs: this.#now(), event, pieceOf };
    this.#kept.push(entry);
    for (const listener of this.#listeners) {
      if (pieceOf !== undefined && listener.queue.length >= QUEUE_LIMIT) continue;
      listener.queue.push(entry);
      listener.wake?.();
    }
  }

  /** Keeps no more pieces of an attempt, for it has ended; those who listen now still get them. */
  forgetPieces(nodeId: string): void {
    this.#kept = this.#kept.filter(({ pieceOf }) => pieceOf !== nodeId);
  }

  /** No more events come. @param error how it failed; absent when it did not */
  end(error?: unknown): void {
    this.#end ??= { error };
    for (const { wake } of this.#listeners) wake?.();
  }

  /**
   * The events after a number, until the end.
   *
   * @throws the error that it ended with, after the last event; the signal's reason
   */
  async *listen(after: bigint, signal: AbortSignal): AsyncGenerator<Numbered<Event>, void, undefined> {
    const listener: Listener<Event> = { queue: this.#kept.filter(({ sequence }) => sequence > after), wake: undefined };
    this.#listeners.add(listener);
    const onAbort = () => listener.wake?.();
    signal.addEventListener("abort", onAbort);
    try {
      for (;;) {
        signal.throwIfAborted();
        // Taken as a whole: shifting a long queue one by one would copy it each time.
        for (const entry of listener.queue.splice(0)) yield entry;
        if (listener.queue.length > 0) continue;
        if (this.#end !== undefined) {
          if (this.#end.error !== undefined) throw this.#end.error;
          return;
        }
        if (signal.aborted) continue;
        await new Promise<void>((resolve) => {
          listener.wake = resolve;
        });
        listener.wake = undefined;
      }
    } finally {
      signal.removeEventListener("abort", onAbort);
      this.#listeners.delete(listener);
    }
  }
}
