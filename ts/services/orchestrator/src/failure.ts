import { type ErrorCode, Status, StatusError } from "@uait/kit";
import type { Degradation, Failure } from "./vocabulary.js";

/** What a failed call to a neighbour says inside an answer of our own. */
export function failureOf(error: unknown): Failure {
  if (error instanceof StatusError) {
    const { code, reason, message, violations } = error;
    return { code, reason, message, fieldViolations: [...violations] };
  }
  return { code: Status.INTERNAL, reason: "INTERNAL", message: "internal error", fieldViolations: [] };
}

const AWAY: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  Status.UNAVAILABLE,
  Status.DEADLINE_EXCEEDED,
  Status.UNIMPLEMENTED,
]);

/** Whether an optional neighbour did not do its part because it is not there, rather than because it was asked wrongly. */
export function isAway(error: unknown): error is StatusError {
  return error instanceof StatusError && AWAY.has(error.code);
}

const TRANSIENT: ReadonlySet<ErrorCode> = new Set<ErrorCode>([Status.UNAVAILABLE, Status.ABORTED]);

/** Whether the same call may succeed a little later. */
export function isTransient(error: unknown): error is StatusError {
  return error instanceof StatusError && TRANSIENT.has(error.code);
}

const PERMANENT: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  Status.NOT_FOUND,
  Status.INVALID_ARGUMENT,
  Status.FAILED_PRECONDITION,
  Status.UNAUTHENTICATED,
  Status.PERMISSION_DENIED,
  Status.UNIMPLEMENTED,
]);

/** Whether the same call would fail again, however often. */
export function isPermanent(error: unknown): error is StatusError {
  return error instanceof StatusError && (PERMANENT.has(error.code) || error.reason === "BUDGET_EXHAUSTED");
}

/** What an answer lacks because a neighbour failed. */
export function degradation(dependency: string, effect: string, error: unknown): Degradation {
  return { dependency, effect, failure: failureOf(error) };
}

/** What a run had to do without, each dependency and effect once. */
export class Degradations {
  readonly #all = new Map<string, Degradation>();
  readonly #onNew: (degradation: Degradation) => void;

  constructor(onNew: (degradation: Degradation) => void) {
    this.#onNew = onNew;
  }

  get all(): Degradation[] {
    return [...this.#all.values()];
  }

  add(found: Degradation): void {
    const key = `${found.dependency}/${found.effect}`;
    if (this.#all.has(key)) return;
    this.#all.set(key, found);
    this.#onNew(found);
  }
}
