import { setTimeout as delay } from "node:timers/promises";
import { EchoError } from "./error.js";

/** How a call shall misbehave. */
export interface Misbehaviour {
  readonly delayMs: number;
  /** Fail as if nothing had this name. */
  readonly missing?: string;
  /** Fail with an error that no map knows, with this text. */
  readonly crash?: string;
}

/** Waits and then fails, as told. @throws the signal's reason at once when it is aborted. */
export async function misbehave({ delayMs, missing, crash }: Misbehaviour, signal: AbortSignal): Promise<void> {
  if (delayMs > 0) await delay(delayMs, undefined, { signal });
  if (missing !== undefined) throw new EchoError({ kind: "missing", name: missing });
  if (crash !== undefined) throw new Error(crash);
}
