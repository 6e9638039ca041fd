import { Status, StatusError, type WorkContext } from "@uait/kit";
import type { Degradation } from "./vocabulary.js";

/** What a neighbour that one can go on without fails with when it is away. */
const AWAY: ReadonlySet<Status> = new Set<Status>([Status.UNAVAILABLE, Status.DEADLINE_EXCEEDED, Status.UNIMPLEMENTED]);

export function isAway(error: unknown): error is StatusError {
  return error instanceof StatusError && AWAY.has(error.code);
}

/** What an answer lacks because a call failed. */
export function degradationOf(dependency: string, effect: string, error: StatusError): Degradation {
  const { code, reason, message } = error;
  return { dependency, effect, failure: { code, reason, message, fieldViolations: [] } };
}

/** The same work with less time, so that a neighbour that hangs does not hold up the whole. */
export function within(from: WorkContext, timeoutMs: number, now: number): WorkContext {
  const deadlineMs = Math.min(from.deadlineMs ?? Number.POSITIVE_INFINITY, now + timeoutMs);
  return { ...from, deadlineMs };
}
