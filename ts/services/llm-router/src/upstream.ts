import type { KitContext } from "@uait/kit";
import type { Generation, UpstreamEvent } from "./generation.js";
import type { Model } from "./model.js";

/** On whose behalf an upstream is called. */
export type Caller = Pick<KitContext, "identity" | "deadlineMs" | "signal" | "span">;

/** What an upstream serves, and whether it answers. */
export interface Offer {
  readonly available: boolean;
  readonly models: readonly Model[];
}

/** How long an upstream may be silent, in milliseconds. */
export interface Patience {
  /** From the call to its first token. */
  readonly firstTokenMs: number;
  /** From one token to the next. */
  readonly idleMs: number;
}

/** Somewhere that models run. */
export interface Upstream {
  /** Such as "ml-inference". */
  readonly name: string;
  readonly patience: Patience;
  /** What it offers, at most a few seconds ago; with `fresh`, now. Fails never: what is away is not available. */
  offer(from: Caller, fresh?: boolean): Promise<Offer>;
  /**
   * Generates, until the signal of `from` is aborted; ends with an `end`.
   *
   * @throws RouterError or StatusError
   */
  generate(model: Model, generation: Generation, from: Caller): AsyncIterable<UpstreamEvent>;
}
