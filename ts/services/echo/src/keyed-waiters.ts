/**
 * Values that are awaited by key, before or after they are known. Keeps the last `capacity` of them.
 */
export class KeyedWaiters<Value> {
  readonly #values = new Map<string, Value>();
  readonly #waiters = new Map<string, Set<(value: Value) => void>>();
  readonly #capacity: number;

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  get(key: string): Value | undefined {
    return this.#values.get(key);
  }

  /** Makes a value known, in place of an older one of the same key. */
  set(key: string, value: Value): void {
    this.#values.delete(key);
    this.#values.set(key, value);
    if (this.#values.size > this.#capacity) {
      const [oldest] = this.#values.keys();
      if (oldest !== undefined) this.#values.delete(oldest);
    }
    const waiters = this.#waiters.get(key);
    this.#waiters.delete(key);
    for (const resolve of waiters ?? []) resolve(value);
  }

  /** The value, as soon as it is known. @throws the signal's reason when that comes first. */
  async wait(key: string, signal: AbortSignal): Promise<Value> {
    const known = this.#values.get(key);
    if (known !== undefined) return known;
    signal.throwIfAborted();
    return await new Promise((resolve, reject) => {
      const waiters = this.#waiters.get(key) ?? new Set();
      this.#waiters.set(key, waiters);
      const settle = (value: Value) => {
        signal.removeEventListener("abort", abort);
        resolve(value);
      };
      const abort = () => {
        waiters.delete(settle);
        if (waiters.size === 0) this.#waiters.delete(key);
        reject(signal.reason);
      };
      waiters.add(settle);
      signal.addEventListener("abort", abort, { once: true });
    });
  }
}
