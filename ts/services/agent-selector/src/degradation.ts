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

/** Of the time that its caller leaves, what one neighbour may take: the others, and the answer, need some too. */
const SHARE = 1 / 3;

/** How long a neighbour may take that one can go on without, so that one that hangs does not take the whole down, ms. */
export function patience(from: WorkContext, timeoutMs: number, now: number): number {
  const leftMs = (from.deadlineMs ?? Number.POSITIVE_INFINITY) - now;
  return Math.max(0, Math.min(timeoutMs, leftMs * SHARE));
}

/** The same work with no more time than a neighbour may take. */
export function within(from: WorkContext, timeoutMs: number, now: number): WorkContext {
  return { ...from, deadlineMs: now + patience(from, timeoutMs, now) };
}
