import { setMaxListeners } from "node:events";
import { cancelled, type StatusError } from "@uait/kit";
import { EventStream, type Numbered } from "./event-stream.js";

/** Work that goes on, or ended a short while ago, with the events that those who join it hear. */
export class LiveWork<Event> {
  readonly stream: EventStream<Event>;
  /** Of the request that began it. */
  readonly digest: string;
  readonly #abort = new AbortController();
  readonly #detached: boolean;
  #watchers = 0;
  /** Resolved when it has ended and its end is recorded. */
  done: Promise<void> = Promise.resolve();

  constructor(options: { readonly now: () => number; readonly digest: string; readonly detached: boolean }) {
    this.stream = new EventStream({ now: options.now });
    this.digest = options.digest;
    this.#detached = options.detached;
    // Every attempt and every call of it listens.
    setMaxListeners(0, this.#abort.signal);
  }

  /** Aborted when the work shall end without an answer. */
  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  /** @param reason what those who watch are told; CANCELLED when absent */
  cancel(reason: StatusError = cancelled()): void {
    this.#abort.abort(reason);
  }

  /** Its events after a number. Unless it is detached, it is cancelled when the last one who watches has gone. */
  async *watch(after: bigint, signal: AbortSignal): AsyncGenerator<Numbered<Event>, void, undefined> {
    this.#watchers++;
    try {
      yield* this.stream.listen(after, signal);
    } finally {
      this.#watchers--;
      if (this.#watchers === 0 && !this.#detached && !this.stream.ended) this.cancel();
    }
  }
}

/** Most ended works that are kept, so that one who was cut off at the end can still hear it. */
const KEPT_ENDED = 256;

/** The works of a process, by key. */
export class LiveWorks<Event> {
  readonly #works = new Map<string, LiveWork<Event>>();
  readonly #ended: string[] = [];
  readonly #underWay = new Map<LiveWork<Event>, Promise<void>>();

  get(key: string): LiveWork<Event> | undefined {
    return this.#works.get(key);
  }

  /** Begins a work; nothing of it fails but by its stream. */
  begin(key: string, live: LiveWork<Event>, work: () => Promise<void>): void {
    this.#works.set(key, live);
    live.done = work().finally(() => {
      this.#underWay.delete(live);
      this.#ended.push(key);
      const oldest = this.#ended.length > KEPT_ENDED ? this.#ended.shift() : undefined;
      if (oldest !== undefined) this.#works.delete(oldest);
    });
    this.#underWay.set(live, live.done);
  }

  /** Ends whatever is under way, and returns when it has ended. */
  async end(reason: StatusError): Promise<void> {
    for (const live of this.#underWay.keys()) if (!live.stream.ended) live.cancel(reason);
    await Promise.allSettled(this.#underWay.values());
  }
}
