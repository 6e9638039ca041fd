import type { Bucket } from "@uait/kit";
import { z } from "zod";

/** How long a selection can be told the outcome of. */
export const KEPT_MS = 24 * 60 * 60_000;

const chosen = z.object({
  agent: z.string(),
  armId: z.string(),
  model: z.string(),
  prompt: z.string(),
  propensity: z.number(),
});

/** A stored selection. */
export const selectionRecord = z.object({ taskType: z.string(), choices: z.array(chosen) });

/** What has to be known of a selection when its outcome comes. */
export type SelectionRecord = z.infer<typeof selectionRecord>;
export type ChosenRecord = z.infer<typeof chosen>;

/** The selections of a day, by tenant and id; all processes of the service share them. */
export class Selections {
  readonly #bucket: Bucket<SelectionRecord>;
  /** Those of this process, for when they could not be stored. */
  readonly #own = new Map<string, SelectionRecord>();
  readonly #capacity: number;

  constructor(bucket: Bucket<SelectionRecord>, capacity = 10_000) {
    this.#bucket = bucket;
    this.#capacity = capacity;
  }

  /** Remembers a selection, here at once and for every process when this returns. @throws StatusError when it cannot be stored */
  async put(tenant: string, selectionId: string, value: SelectionRecord, signal: AbortSignal): Promise<void> {
    const key = keyOf(tenant, selectionId);
    this.#own.set(key, value);
    if (this.#own.size > this.#capacity) {
      const [oldest] = this.#own.keys();
      if (oldest !== undefined) this.#own.delete(oldest);
    }
    await this.#bucket.write({ key, value, expected: 0, signal });
    this.#own.delete(key);
  }

  /** A selection of the tenant, if there is one. @throws StatusError when nobody can know yet */
  async get(tenant: string, selectionId: string, signal: AbortSignal): Promise<SelectionRecord | undefined> {
    const key = keyOf(tenant, selectionId);
    const known = this.#own.get(key) ?? this.#bucket.get(key)?.value;
    if (known !== undefined) return known;
    await this.#bucket.untilLoaded(signal);
    return this.#bucket.get(key)?.value;
  }
}

function keyOf(tenant: string, selectionId: string): string {
  return `${tenant}.${selectionId}`;
}
