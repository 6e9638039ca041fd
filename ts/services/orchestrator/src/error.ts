import { type ErrorMap, notImplemented, requestIdReused, Status, StatusError } from "@uait/kit";
import type { ExpressionError } from "./verifiers/expression-error.js";

/** Every way in which this service's own rules can be broken, with what is told of it. */
export type OrchestratorFailure =
  | { readonly kind: "run_missing"; readonly runId: string }
  | { readonly kind: "node_missing"; readonly nodeId: string }
  | { readonly kind: "request_reused"; readonly requestId: string }
  | { readonly kind: "expression_invalid"; readonly field: string; readonly cause: ExpressionError }
  | { readonly kind: "no_candidate"; readonly requirement: string }
  | { readonly kind: "page_token_invalid" }
  | { readonly kind: "time_spent"; readonly limitMs: number }
  | { readonly kind: "not_answered"; readonly runId: string; readonly state: string }
  | { readonly kind: "run_elsewhere"; readonly runId: string }
  | { readonly kind: "run_failed"; readonly code: number; readonly reason: string; readonly message: string }
  | { readonly kind: "value_conflict"; readonly field: string; readonly message: string }
  | { readonly kind: "not_implemented"; readonly what: string; readonly why: string };

/** The error of this service's domain. */
export class OrchestratorError extends Error {
  readonly failure: OrchestratorFailure;

  constructor(failure: OrchestratorFailure) {
    super(failure.kind);
    this.name = "OrchestratorError";
    this.failure = failure;
  }
}

type Statuses = {
  [Kind in OrchestratorFailure["kind"]]: (failure: Extract<OrchestratorFailure, { kind: Kind }>) => StatusError;
};

// One entry a kind: a new kind without an entry does not compile.
const STATUSES: Statuses = {
  run_missing: ({ runId }) => missing("run", runId),
  node_missing: ({ nodeId }) => missing("node", nodeId),
  request_reused: ({ requestId }) => requestIdReused(requestId),
  expression_invalid: ({ field, cause }) =>
    StatusError.of({
      code: Status.INVALID_ARGUMENT,
      reason: "EXPRESSION_INVALID",
      message: `${field}: the ${cause.kind} is not well-formed: ${cause.message}`,
      metadata: { field, kind: cause.kind, position: cause.position },
      violations: [{ field, description: cause.message, reason: "expression" }],
    }),
  no_candidate: ({ requirement }) =>
    StatusError.of({
      code: Status.FAILED_PRECONDITION,
      reason: "NO_CANDIDATE",
      message: `no agent has what is required: ${requirement}`,
      metadata: { requirement },
    }),
  page_token_invalid: () =>
    StatusError.of({
      code: Status.INVALID_ARGUMENT,
      reason: "PAGE_TOKEN_INVALID",
      message: "page_token was not issued for this request",
    }),
  time_spent: ({ limitMs }) =>
    StatusError.of({
      code: Status.RESOURCE_EXHAUSTED,
      reason: "BUDGET_EXHAUSTED",
      message: `${limitMs} ms passed before any attempt had a text`,
      metadata: { budget: "max_wall_time", limit: String(limitMs) },
    }),
  not_answered: ({ runId, state }) =>
    StatusError.of({
      code: Status.FAILED_PRECONDITION,
      reason: "STATE_CONFLICT",
      message: `run ${runId} has no answer`,
      metadata: { resource: "run", state },
    }),
  run_elsewhere: ({ runId }) =>
    StatusError.of({
      code: Status.UNAVAILABLE,
      reason: "DEPENDENCY_UNAVAILABLE",
      message: `run ${runId} goes on at another replica`,
      metadata: { dependency: "orchestrator" },
    }),
  run_failed: ({ code, reason, message }) =>
    StatusError.of({ code: code as never, reason: reason as never, message, metadata: {} }),
  value_conflict: ({ field, message }) =>
    StatusError.of({
      code: Status.INVALID_ARGUMENT,
      reason: "VALUE_CONFLICT",
      message: `${field}: ${message}`,
      metadata: { field },
      violations: [{ field, description: message, reason: "conflict" }],
    }),
  not_implemented: ({ what, why }) => notImplemented(what, why),
};

function missing(resource: string, name: string): StatusError {
  return StatusError.of({
    code: Status.NOT_FOUND,
    reason: "RESOURCE_NOT_FOUND",
    message: `no ${resource} ${JSON.stringify(name)}`,
    metadata: { resource, name },
  });
}

/** The gRPC code and reason of each error; `undefined` for errors that are not this service's own. */
export const toStatus: ErrorMap = (error) => {
  if (!(error instanceof OrchestratorError)) return undefined;
  const status = STATUSES[error.failure.kind] as (failure: OrchestratorFailure) => StatusError;
  return status(error.failure);
};
