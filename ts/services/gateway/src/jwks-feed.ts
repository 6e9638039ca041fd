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
  readonly #waiting = new Set<() => void>();

  /** @param options.spreadMs longest wait for Envoy to fetch a new key; 0 for none */
  constructor(options: { readonly read: () => Promise<Jwks | undefined>; readonly spreadMs: number }) {
    this.#read = options.read;
    this.#spreadMs = options.spreadMs;
  }

  /** The set as it is now, for Envoy; `undefined` while it is not known. */
  async fetch(): Promise<Jwks | undefined> {
    // A set that was read before a key was made has not got it: who begins to wait meanwhile is not told.
    const told = [...this.#waiting];
    const set = await this.#read();
    if (set === undefined) return undefined;
    for (const tell of told) tell();
    return set;
  }

  /** Returns when Envoy has fetched what is in the set now, or the time is up: there may be no Envoy, or more than one. */
  async spread(signal: AbortSignal): Promise<void> {
    let fetches = 0;
    const done = new AbortController();
    const tell = () => {
      if (++fetches === FETCHES) done.abort();
    };
    this.#waiting.add(tell);
    signal.addEventListener("abort", () => done.abort(), { once: true });
    await delay(this.#spreadMs, undefined, { signal: done.signal }).catch(() => undefined);
    this.#waiting.delete(tell);
  }
}
