import { type ErrorMap, requestIdReused, Status, StatusError } from "@uait/kit";

/** Every way in which this service's own rules can be broken, with what is told of it. */
export type ContextFailure =
  | { readonly kind: "missing"; readonly contextId: string }
  | { readonly kind: "changed"; readonly contextId: string; readonly etag: string }
  | { readonly kind: "request_id_reused"; readonly requestId: string }
  | { readonly kind: "property_reserved"; readonly field: string; readonly property: string }
  | { readonly kind: "filter_too_long"; readonly clauses: number; readonly limit: number };

/** The error of this service's domain. */
export class ContextError extends Error {
  readonly failure: ContextFailure;

  constructor(failure: ContextFailure) {
    super(failure.kind);
    this.name = "ContextError";
    this.failure = failure;
  }
}

// One entry a kind: a new kind without an entry does not compile.
const STATUSES: {
  [Kind in ContextFailure["kind"]]: (failure: Extract<ContextFailure, { kind: Kind }>) => StatusError;
} = {
  missing: ({ contextId }) =>
    StatusError.of({
      code: Status.NOT_FOUND,
      reason: "RESOURCE_NOT_FOUND",
      message: `no context with the id ${contextId}`,
      metadata: { resource: "context", name: contextId },
    }),
  changed: ({ contextId, etag }) =>
    StatusError.of({
      code: Status.ABORTED,
      reason: "ETAG_MISMATCH",
      message: `context ${contextId} changed since it was read`,
      metadata: { etag },
    }),
  request_id_reused: ({ requestId }) => requestIdReused(requestId),
  property_reserved: ({ field, property }) =>
    StatusError.of({
      code: Status.INVALID_ARGUMENT,
      reason: "VALUE_CONFLICT",
      message: `${field}: ${property} begins with uait_context_, which is kept for the service`,
      metadata: { field },
    }),
  filter_too_long: ({ clauses, limit }) =>
    StatusError.of({
      code: Status.INVALID_ARGUMENT,
      reason: "VALUE_CONFLICT",
      message: `filter: ${clauses} clauses, must be at most ${limit} beside kind and session`,
      metadata: { field: "filter" },
    }),
};

/** The gRPC code and reason of each error; `undefined` for errors that are not this service's own. */
export const toStatus: ErrorMap = (error) =>
  error instanceof ContextError ? STATUSES[error.failure.kind](error.failure as never) : undefined;
