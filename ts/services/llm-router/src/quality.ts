/** Weight of the newest score in a mean: the last 20 or so count. */
const WEIGHT = 0.1;
const MAX_KEYS = 10_000;

/**
 * How well models scored in the kinds of tasks of each tenant: exponentially weighted means of what runs scored their attempts,
 * while this process lives.
 */
export class Quality {
  readonly #means = new Map<string, number>();

  /** @param score 0 to 1 */
  record(tenant: string, taskType: string, model: string, score: number): void {
    const key = keyOf(tenant, taskType, model);
    const mean = this.#means.get(key);
    this.#means.delete(key);
    this.#means.set(key, mean === undefined ? score : mean + WEIGHT * (score - mean));
    if (this.#means.size <= MAX_KEYS) return;
    const [oldest] = this.#means.keys();
    if (oldest !== undefined) this.#means.delete(oldest);
  }

  /** 0 to 1; `undefined` without scores. */
  of(tenant: string, taskType: string, model: string): number | undefined {
    return this.#means.get(keyOf(tenant, taskType, model));
  }
}

function keyOf(tenant: string, taskType: string, model: string): string {
  return `${tenant} ${taskType} ${model}`;
}
