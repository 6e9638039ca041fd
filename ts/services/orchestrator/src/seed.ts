import { createHash } from "node:crypto";

/** Name of what a seed is derived for: an attempt by its place in the order of asks, or a part of a run. */
export type SeedPurpose = { readonly attempt: number } | "agents" | "search";

/**
 * A seed derived from a run's: the same run seed gives the same one on any machine, and different purposes unrelated
 * ones. 63 bits, since signed 64-bit integers carry seeds on in places.
 */
export function deriveSeed(seed: bigint, purpose: SeedPurpose): bigint {
  const name = typeof purpose === "string" ? purpose : `attempt/${purpose.attempt}`;
  const digest = createHash("sha256").update(`${seed}/${name}`).digest();
  return digest.readBigUInt64BE(0) >> 1n;
}
