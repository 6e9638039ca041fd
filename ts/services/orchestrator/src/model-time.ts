/** The union of the times in which at least one model call was under way, in ms of the clock that is given. */
export class ModelTime {
  readonly #now: () => number;
  #underWay = 0;
  #since = 0;
  #sum = 0;

  constructor(now: () => number) {
    this.#now = now;
  }

  /** Counts while the call is under way. */
  async during<Result>(call: () => Promise<Result>): Promise<Result> {
    this.begin();
    try {
      return await call();
    } finally {
      this.end();
    }
  }

  begin(): void {
    if (this.#underWay++ === 0) this.#since = this.#now();
  }

  end(): void {
    if (--this.#underWay === 0) this.#sum += this.#now() - this.#since;
  }

  /** Time so far, ms. */
  get elapsedMs(): number {
    return this.#sum + (this.#underWay > 0 ? this.#now() - this.#since : 0);
  }
}
