import { Status } from "@uait/kit";

/** How an agent did: a score from 0 to 1, or the gRPC code that it failed with. */
export type Outcome = { readonly score: number } | { readonly code: number };

// Failures that say nothing of the agent: its caller went away, lacked a right or a budget, or the mesh could not be reached.
const NOT_THE_AGENTS: ReadonlySet<number> = new Set<number>([
  Status.CANCELLED,
  Status.PERMISSION_DENIED,
  Status.RESOURCE_EXHAUSTED,
  Status.UNAVAILABLE,
  Status.UNAUTHENTICATED,
]);

/** What is learned from an outcome: its score, 0 for a failure that is the agent's, `undefined` for one that is not. */
export function rewardOf(outcome: Outcome): number | undefined {
  if ("score" in outcome) return outcome.score;
  return NOT_THE_AGENTS.has(outcome.code) ? undefined : 0;
}
