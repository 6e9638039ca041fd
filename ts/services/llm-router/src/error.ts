import { type ErrorMap, requestIdReused, Status, StatusError } from "@uait/kit";

/** How an upstream outside the mesh refused or failed. */
export type UpstreamFault =
  | "unauthorized"
  | "model_missing"
  | "rate_limited"
  | "rejected"
  | "server_error"
  | "unreachable"
  | "first_byte_timeout"
  | "first_token_timeout"
  | "idle_timeout"
  | "malformed_stream"
  | "broken_stream";

/** Every way in which this service's own rules can be broken, with what is told of it. */
export type RouterFailure =
  | {
      readonly kind: "upstream";
      readonly upstream: string;
      readonly model: string;
      readonly fault: UpstreamFault;
      /** HTTP status; absent when none came. */
      readonly status?: number;
      readonly retryAfterMs?: number | undefined;
      /** What the upstream said, for the log. */
      readonly detail?: string;
    }
  | { readonly kind: "input_too_long"; readonly model: string; readonly tokens: number; readonly limit: number }
  | { readonly kind: "model_unknown"; readonly model: string }
  | { readonly kind: "no_candidate"; readonly requirement: string }
  | { readonly kind: "budget_exhausted"; readonly budget: string; readonly limit: string; readonly resetMs: number }
  | { readonly kind: "budget_quota"; readonly limit: number }
  | { readonly kind: "etag_mismatch"; readonly etag: string }
  | { readonly kind: "request_id_reused"; readonly requestId: string }
  | { readonly kind: "expression_invalid"; readonly field: string; readonly detail: string }
  | { readonly kind: "time_range_invalid" };

/** The error of this service's domain. */
export class RouterError extends Error {
  readonly failure: RouterFailure;

  constructor(failure: RouterFailure, cause?: unknown) {
    super(failure.kind, cause === undefined ? undefined : { cause });
    this.name = "RouterError";
    this.failure = failure;
  }
}

const FAULT_WORDS: Readonly<Record<UpstreamFault, string>> = {
  unauthorized: "refused its key",
  model_missing: "does not have the model",
  rate_limited: "takes no more calls for now",
  rejected: "refused the request",
  server_error: "failed",
  unreachable: "cannot be reached",
  first_byte_timeout: "did not answer in time",
  first_token_timeout: "sent no token in time",
  idle_timeout: "fell silent",
  malformed_stream: "answered what cannot be read",
  broken_stream: "broke off its answer",
};

// One entry a kind: a new kind without an entry does not compile.
const STATUSES: {
  [Kind in RouterFailure["kind"]]: (failure: Extract<RouterFailure, { kind: Kind }>) => StatusError;
} = {
  upstream: ({ upstream, model, fault, status, retryAfterMs }) =>
    fault === "model_missing"
      ? StatusError.of({
          code: Status.UNAVAILABLE,
          reason: "MODEL_UNAVAILABLE",
          message: `${upstream} does not have the model ${model}`,
          metadata: { model, file: "" },
        })
      : StatusError.of({
          code: Status.UNAVAILABLE,
          reason: "UPSTREAM_FAILED",
          message: `${upstream} ${FAULT_WORDS[fault]}`,
          metadata: { upstream, status: status === undefined ? fault : String(status) },
          retryAfterMs,
        }),
  input_too_long: ({ model, tokens, limit }) =>
    StatusError.of({
      code: Status.INVALID_ARGUMENT,
      reason: "INPUT_TOO_LONG",
      message: `the input is longer than ${model} takes`,
      metadata: { model, tokens: String(tokens), limit: String(limit) },
    }),
  model_unknown: ({ model }) =>
    StatusError.of({
      code: Status.NOT_FOUND,
      reason: "RESOURCE_NOT_FOUND",
      message: `no model named ${JSON.stringify(model)}`,
      metadata: { resource: "model", name: model },
    }),
  no_candidate: ({ requirement }) =>
    StatusError.of({
      code: Status.FAILED_PRECONDITION,
      reason: "NO_CANDIDATE",
      message: `no model fits: ${requirement}`,
      metadata: { requirement },
    }),
  budget_exhausted: ({ budget, limit, resetMs }) =>
    StatusError.of({
      code: Status.RESOURCE_EXHAUSTED,
      reason: "BUDGET_EXHAUSTED",
      message: `the budget ${budget} is spent: ${limit}`,
      metadata: { budget, limit },
      retryAfterMs: resetMs,
    }),
  budget_quota: ({ limit }) =>
    StatusError.of({
      code: Status.RESOURCE_EXHAUSTED,
      reason: "QUOTA_EXCEEDED",
      message: `a tenant has at most ${limit} budgets`,
      metadata: { quota: "budgets", limit: String(limit) },
    }),
  etag_mismatch: ({ etag }) =>
    StatusError.of({
      code: Status.ABORTED,
      reason: "ETAG_MISMATCH",
      message: "the budget changed since it was read",
      metadata: { etag },
    }),
  request_id_reused: ({ requestId }) => requestIdReused(requestId),
  expression_invalid: ({ field, detail }) =>
    StatusError.of({
      code: Status.INVALID_ARGUMENT,
      reason: "EXPRESSION_INVALID",
      message: `${field} is no JSON Schema: ${detail}`,
      metadata: { field, kind: "json_schema", position: "" },
    }),
  time_range_invalid: () =>
    StatusError.of({
      code: Status.INVALID_ARGUMENT,
      reason: "VALUE_CONFLICT",
      message: "time_range ends before it starts",
      metadata: { field: "time_range" },
    }),
};

/** The gRPC code and reason of each error; `undefined` for errors that are not this service's own. */
export const toStatus: ErrorMap = (error) => {
  if (!(error instanceof RouterError)) return undefined;
  const entry = STATUSES[error.failure.kind] as (failure: RouterFailure) => StatusError;
  return entry(error.failure);
};
