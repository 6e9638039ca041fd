/** A value that is asked for again once it is old, beside the calls: whoever comes meanwhile gets the old one at once. */
export class Refreshed<Value> {
  readonly #maxAgeMs: number;
  readonly #now: () => number;
  #last: { readonly value: Value; readonly atMs: number } | undefined;
  #asking: Promise<Value> | undefined;

  constructor(options: { readonly maxAgeMs: number; readonly now: () => number }) {
    this.#maxAgeMs = options.maxAgeMs;
    this.#now = options.now;
  }

  /** The last value, or the first when there is none yet. */
  async get(ask: () => Promise<Value>): Promise<Value> {
    const last = this.#last;
    if (last === undefined) return await this.refresh(ask);
    // `ask` tells of its failures in its value; what else goes wrong shows when somebody waits for it.
    if (this.#now() - last.atMs >= this.#maxAgeMs) this.refresh(ask).catch(() => undefined);
    return last.value;
  }

  /** The value as it is now; those who ask at once ask together. */
  refresh(ask: () => Promise<Value>): Promise<Value> {
    this.#asking ??= ask()
      .then((value) => {
        this.#last = { value, atMs: this.#now() };
        return value;
      })
      .finally(() => {
        this.#asking = undefined;
      });
    return this.#asking;
  }
}
