import { type ErrorMap, notImplemented, requestIdReused, Status, StatusError } from "@uait/kit";

/** Every way in which this service's own rules can be broken, with what is told of it. */
export type GatewayFailure =
  | { readonly kind: "key_missing"; readonly keyId: string }
  | { readonly kind: "key_ended"; readonly state: string }
  | { readonly kind: "key_reissued"; readonly limit: number }
  | { readonly kind: "scope_missing"; readonly scope: string }
  | { readonly kind: "keys_exhausted"; readonly limit: number }
  | { readonly kind: "request_id_reused"; readonly requestId: string }
  | { readonly kind: "not_implemented"; readonly what: string; readonly why: string };

/** The error of this service's domain. */
export class GatewayError extends Error {
  readonly failure: GatewayFailure;

  constructor(failure: GatewayFailure) {
    super(failure.kind);
    this.name = "GatewayError";
    this.failure = failure;
  }
}

// One entry a kind: a new kind without an entry does not compile.
const STATUSES: {
  [Kind in GatewayFailure["kind"]]: (failure: Extract<GatewayFailure, { kind: Kind }>) => StatusError;
} = {
  key_missing: ({ keyId }) =>
    StatusError.of({
      code: Status.NOT_FOUND,
      reason: "RESOURCE_NOT_FOUND",
      message: `no key ${JSON.stringify(keyId)}`,
      metadata: { resource: "key", name: keyId },
    }),
  key_ended: ({ state }) =>
    StatusError.of({
      code: Status.FAILED_PRECONDITION,
      reason: "STATE_CONFLICT",
      message: `the key that this request issued is ${state}`,
      metadata: { resource: "key", state },
    }),
  key_reissued: ({ limit }) =>
    StatusError.of({
      code: Status.FAILED_PRECONDITION,
      reason: "STATE_CONFLICT",
      message: `the request has been repeated ${limit} times; issue another key`,
      metadata: { resource: "key", state: "repeated" },
    }),
  scope_missing: ({ scope }) =>
    StatusError.of({
      code: Status.PERMISSION_DENIED,
      reason: "SCOPE_MISSING",
      message: `the key lacks the scope ${scope}`,
      metadata: { scope },
    }),
  keys_exhausted: ({ limit }) =>
    StatusError.of({
      code: Status.RESOURCE_EXHAUSTED,
      reason: "QUOTA_EXCEEDED",
      message: `a tenant has at most ${limit} active keys`,
      metadata: { quota: "keys", limit: String(limit) },
    }),
  request_id_reused: ({ requestId }) => requestIdReused(requestId),
  not_implemented: ({ what, why }) => notImplemented(what, why),
};

/** The gRPC code and reason of each error; `undefined` for errors that are not this service's own. */
export const toStatus: ErrorMap = (error) => {
  if (!(error instanceof GatewayError)) return undefined;
  const entry = STATUSES[error.failure.kind] as (failure: GatewayFailure) => StatusError;
  return entry(error.failure);
};
