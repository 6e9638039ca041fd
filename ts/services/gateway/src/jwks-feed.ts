import { setTimeout as delay } from "node:timers/promises";
import type { JWK } from "jose";

/** A set of public keys, as Envoy reads it. */
export interface Jwks {
  readonly keys: readonly JWK[];
}

/** Fetches after which Envoy's two listeners, each of which fetches for itself, both have a key. */
const FETCHES = 2;

/** Gives Envoy the public keys, and knows when it has been given a new one. */
export class JwksFeed {
  readonly #read: () => Promise<Jwks | undefined>;
  readonly #spreadMs: number;
  #fetches = 0;
  readonly #waiting = new Set<() => void>();

  /** @param options.spreadMs longest wait for Envoy to fetch a new key; 0 for none */
  constructor(options: { readonly read: () => Promise<Jwks | undefined>; readonly spreadMs: number }) {
    this.#read = options.read;
    this.#spreadMs = options.spreadMs;
  }

  /** The set as it is now, for Envoy; `undefined` while it is not known. */
  async fetch(): Promise<Jwks | undefined> {
    const set = await this.#read();
    if (set === undefined) return undefined;
    this.#fetches++;
    for (const check of [...this.#waiting]) check();
    return set;
  }

  /** Returns when Envoy has fetched what is in the set now, or the time is up: there may be no Envoy, or more than one. */
  async spread(signal: AbortSignal): Promise<void> {
    const target = this.#fetches + FETCHES;
    const done = new AbortController();
    const check = () => {
      if (this.#fetches >= target) done.abort();
    };
    this.#waiting.add(check);
    signal.addEventListener("abort", () => done.abort(), { once: true });
    await delay(this.#spreadMs, undefined, { signal: done.signal }).catch(() => undefined);
    this.#waiting.delete(check);
  }
}
