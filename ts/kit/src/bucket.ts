import { setTimeout as delay } from "node:timers/promises";
import type { KV, KvEntry, KvWatchEntry } from "@nats-io/kv";
import type { z } from "zod";
import { describeError, type Logger } from "./log.js";
import type { NatsLink } from "./nats.js";
import { dependencyUnavailable } from "./status.js";

/** A value of a bucket, as of one of its revisions. */
export interface BucketEntry<Value> {
  readonly key: string;
  readonly value: Value;
  /** Rises with each write to the bucket; at least 1. */
  readonly revision: number;
}

export interface BucketWrite<Value> {
  /** Parts of `[A-Za-z0-9_=-]`, separated by dots. */
  readonly key: string;
  readonly value: Value;
  /** Revision that the key must have; 0 for a key that must not exist yet. */
  readonly expected: number;
  /** Gives up waiting for NATS. */
  readonly signal: AbortSignal;
}

/**
 * Values by key in JetStream, each process with a copy of the whole in memory that follows the writes of all others: reads
 * cost nothing and go on while NATS is away, writes are on disk when they return.
 */
export interface Bucket<Value> {
  /** Whether the copy has been complete once. */
  readonly loaded: boolean;
  /** Returns once the copy is complete. @throws StatusError DEPENDENCY_UNAVAILABLE when the signal comes first */
  untilLoaded(signal: AbortSignal): Promise<void>;
  get(key: string): BucketEntry<Value> | undefined;
  /** All whose key begins with `prefix`, in no order. */
  entries(prefix: string): BucketEntry<Value>[];
  /**
   * Writes a value on top of the revision that is expected.
   *
   * @returns the entry, or `undefined` when the key has another revision; the copy then has it
   * @throws StatusError DEPENDENCY_UNAVAILABLE when NATS cannot be reached; the value may have been written all the same
   */
  write(write: BucketWrite<Value>): Promise<BucketEntry<Value> | undefined>;
  /** Calls back with the key of each change of the copy. */
  onChange(listener: (key: string) => void): void;
}

export interface BucketOptions<Value> {
  /** Name of the bucket: `[A-Za-z0-9_-]`, by custom `uait_<what>`. */
  readonly name: string;
  /** What a stored value, JSON, must be. */
  readonly schema: z.ZodType<Value>;
  /** How long a value is kept after it was written, for a bucket that is made; absent for ever. */
  readonly ttlMs?: number | undefined;
}

const RETRY_MS = 200;
const WRITE_TIMEOUT_MS = 2000;
// JetStreamApiCodes.StreamWrongLastSequence and StreamWrongLastSequenceUnknown: the key has another revision.
const WRONG_REVISION: ReadonlySet<unknown> = new Set([10071, 10164]);

/** A copy in memory, with what is alike whether or not there is a NATS behind it. */
abstract class Copy<Value> {
  readonly #entries = new Map<string, BucketEntry<Value>>();
  readonly #listeners = new Set<(key: string) => void>();
  /** When each key was written, the oldest first; only where values expire. */
  readonly #written = new Map<string, number>();
  readonly #ttlMs: number | undefined;

  constructor(ttlMs?: number) {
    this.#ttlMs = ttlMs;
  }

  get(key: string): BucketEntry<Value> | undefined {
    this.#expire();
    return this.#entries.get(key);
  }

  entries(prefix: string): BucketEntry<Value>[] {
    this.#expire();
    return [...this.#entries.values()].filter(({ key }) => key.startsWith(prefix));
  }

  onChange(listener: (key: string) => void): void {
    this.#listeners.add(listener);
  }

  // What comes late, by way of the watch after a write's own answer, changes nothing.
  protected take(entry: BucketEntry<Value>, writtenMs: number): void {
    const known = this.#entries.get(entry.key);
    if (known !== undefined && known.revision >= entry.revision) return;
    this.#entries.set(entry.key, entry);
    if (this.#ttlMs !== undefined) {
      this.#written.delete(entry.key);
      this.#written.set(entry.key, writtenMs);
    }
    this.#expire();
    for (const listener of this.#listeners) listener(entry.key);
  }

  // JetStream does not tell of what it lets expire.
  #expire(): void {
    if (this.#ttlMs === undefined) return;
    const oldestMs = Date.now() - this.#ttlMs;
    for (const [key, writtenMs] of this.#written) {
      if (writtenMs > oldestMs) return;
      this.#written.delete(key);
      this.#entries.delete(key);
    }
  }
}

/** A bucket in memory alone, for tests. */
export class MemoryBucket<Value> extends Copy<Value> implements Bucket<Value> {
  readonly loaded = true;
  #revision = 0;

  async untilLoaded(): Promise<void> {}

  async write({ key, value, expected }: BucketWrite<Value>): Promise<BucketEntry<Value> | undefined> {
    if ((this.get(key)?.revision ?? 0) !== expected) return undefined;
    this.#revision++;
    const entry = { key, value: structuredClone(value), revision: this.#revision };
    this.take(entry, Date.now());
    return entry;
  }
}

/** The bucket of a process whose event log is off: empty, and nothing can be written. */
export class AbsentBucket<Value> extends Copy<Value> implements Bucket<Value> {
  readonly loaded = true;

  async untilLoaded(): Promise<void> {}

  async write(): Promise<undefined> {
    throw dependencyUnavailable("nats");
  }
}

/** A bucket in JetStream. */
export class NatsBucket<Value> extends Copy<Value> implements Bucket<Value> {
  readonly #options: BucketOptions<Value>;
  readonly #link: NatsLink;
  readonly #log: Logger;
  readonly #stop = new AbortController();
  readonly #waiters = new Set<() => void>();
  #loaded = false;
  #kv: KV | undefined;

  constructor(options: BucketOptions<Value> & { readonly link: NatsLink; readonly log: Logger }) {
    super(options.ttlMs);
    this.#options = options;
    this.#link = options.link;
    this.#log = options.log;
    void this.#follow();
  }

  get loaded(): boolean {
    return this.#loaded;
  }

  async untilLoaded(signal: AbortSignal): Promise<void> {
    while (!this.#loaded) {
      if (signal.aborted) throw dependencyUnavailable("nats", signal.reason);
      await new Promise<void>((resolve) => {
        const done = () => {
          this.#waiters.delete(done);
          signal.removeEventListener("abort", done);
          resolve();
        };
        this.#waiters.add(done);
        signal.addEventListener("abort", done);
      });
    }
  }

  async write({ key, value, expected, signal }: BucketWrite<Value>): Promise<BucketEntry<Value> | undefined> {
    const kv = await this.#open(signal);
    try {
      const revision = await kv.put(key, JSON.stringify(value), { previousSeq: expected, timeout: WRITE_TIMEOUT_MS });
      const entry = { key, value, revision };
      this.take(entry, Date.now());
      return entry;
    } catch (error) {
      if (!WRONG_REVISION.has((error as { readonly code?: unknown }).code)) throw dependencyUnavailable("nats", error);
      await this.#read(kv, key);
      return undefined;
    }
  }

  stop(): void {
    this.#stop.abort();
  }

  async #open(signal: AbortSignal): Promise<KV> {
    try {
      const { client } = await this.#link.ready(signal);
      const { Kvm } = await import("@nats-io/kv");
      const { name, ttlMs } = this.#options;
      const kept = ttlMs === undefined ? {} : { ttl: ttlMs };
      this.#kv ??= await new Kvm(client).create(name, { history: 1, ...kept });
      return this.#kv;
    } catch (error) {
      throw dependencyUnavailable("nats", error);
    }
  }

  async #read(kv: KV, key: string): Promise<void> {
    try {
      const entry = await kv.get(key);
      if (entry !== null) this.#decode(entry);
    } catch (error) {
      throw dependencyUnavailable("nats", error);
    }
  }

  // From its beginning whenever the connection comes back: what was written meanwhile is not missed, whatever the watch saw.
  async #follow(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      try {
        await this.#watch(await this.#open(signal));
      } catch (error) {
        if (signal.aborted) return;
        this.#log.debug("the bucket cannot be followed", { bucket: this.#options.name, error: describeError(error) });
        await delay(RETRY_MS, undefined, { signal }).catch(() => undefined);
      }
    }
  }

  async #watch(kv: KV): Promise<void> {
    const { streamInfo } = await kv.status();
    // The last message of a stream is the last of its key too, so the watch delivers it.
    const target = streamInfo.state.messages === 0 ? 0 : streamInfo.state.last_seq;
    const watch = await kv.watch();
    const end = () => watch.stop();
    const release = this.#link.onChange((up) => up && end());
    this.#stop.signal.addEventListener("abort", end, { once: true });
    try {
      if (target === 0) this.#setLoaded();
      for await (const entry of watch as AsyncIterable<KvWatchEntry>) {
        if (entry.operation === "PUT") this.#decode(entry);
        if (entry.revision >= target) this.#setLoaded();
      }
    } finally {
      release();
      this.#stop.signal.removeEventListener("abort", end);
    }
  }

  #decode({ key, value: bytes, revision, created }: KvEntry): void {
    try {
      const value = this.#options.schema.parse(JSON.parse(new TextDecoder().decode(bytes)));
      this.take({ key, value, revision }, created.getTime());
    } catch (error) {
      this.#log.error("a stored value breaks its form", {
        bucket: this.#options.name,
        key,
        error: describeError(error),
      });
    }
  }

  #setLoaded(): void {
    if (this.#loaded) return;
    this.#loaded = true;
    for (const done of [...this.#waiters]) done();
  }
}
