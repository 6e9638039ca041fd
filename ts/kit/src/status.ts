import { BadRequest, ErrorInfo, RetryInfo } from "@uait/gen/google/rpc/error_details.js";
import { Status as RpcStatus } from "@uait/gen/google/rpc/status.js";
import type { Reason } from "@uait/gen/uait/error/v1/error.js";
import { Status } from "nice-grpc-common";
import { durationToMillis, millisToDuration } from "./duration.js";

export { Status };

type Stripped<Name> = Name extends `REASON_${infer Rest}` ? Exclude<Rest, "UNSPECIFIED"> : never;

/** The names of `uait.error.v1.Reason` as they travel in `ErrorInfo.reason`. */
export type ReasonName = Stripped<keyof typeof Reason>;

/** Every non-OK gRPC code. */
export type ErrorCode = Exclude<Status, typeof Status.OK>;

/** One broken rule of a request's field. */
export interface FieldViolation {
  /** Path of the field, such as `behaviour.delay`. */
  readonly field: string;
  readonly description: string;
  /** Id of the rule, such as `string.min_len`. */
  readonly reason: string;
}

export interface StatusErrorOptions {
  readonly code: ErrorCode;
  readonly reason: ReasonName;
  /** What the caller reads: what was wrong, with the limit; never a cause. */
  readonly message: string;
  readonly metadata?: Readonly<Record<string, string>> | undefined;
  readonly violations?: readonly FieldViolation[] | undefined;
  readonly retryAfterMs?: number | undefined;
  /** Goes to the log, never to the wire. */
  readonly cause?: unknown;
}

/** Domain of every `ErrorInfo` of the mesh. */
export const ERROR_DOMAIN = "uait.dev";

/** Trailer that carries the encoded `google.rpc.Status`. */
export const STATUS_DETAILS_KEY = "grpc-status-details-bin";

/** The error of every call, made here or received from another service. */
export class StatusError extends Error {
  readonly code: ErrorCode;
  readonly reason: string;
  readonly metadata: Readonly<Record<string, string>>;
  readonly violations: readonly FieldViolation[];
  readonly retryAfterMs: number | undefined;
  /** Whether another service answered this, rather than this process. */
  readonly remote: boolean;
  readonly #details: Uint8Array | undefined;

  private constructor(
    options: Omit<StatusErrorOptions, "reason"> & { readonly reason: string },
    remote: boolean,
    details?: Uint8Array,
  ) {
    super(options.message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "StatusError";
    this.code = options.code;
    this.reason = options.reason;
    this.metadata = options.metadata ?? {};
    this.violations = options.violations ?? [];
    this.retryAfterMs = options.retryAfterMs;
    this.remote = remote;
    this.#details = details;
  }

  static of(options: StatusErrorOptions): StatusError {
    return new StatusError(options, false);
  }

  /** The error of a call to another service, with its details kept byte for byte. */
  static received(code: ErrorCode, message: string, details: Uint8Array | undefined, cause?: unknown): StatusError {
    const decoded = details === undefined ? {} : decodeDetails(details);
    return new StatusError(
      { reason: REASON_OF_BARE_CODE[code] ?? "", ...decoded, code, message, cause },
      true,
      details,
    );
  }

  /** `google.rpc.Status` for `grpc-status-details-bin`; `undefined` when there is no reason to tell. */
  details(): Uint8Array | undefined {
    if (this.#details !== undefined) return this.#details;
    return this.reason === "" ? undefined : encodeDetails(this);
  }
}

// What a status without details can mean when it comes from a proxy or from the connection itself.
const REASON_OF_BARE_CODE: { readonly [Code in ErrorCode]?: ReasonName } = {
  [Status.UNAVAILABLE]: "DEPENDENCY_UNAVAILABLE",
  [Status.DEADLINE_EXCEEDED]: "DEADLINE_EXCEEDED",
  [Status.CANCELLED]: "CANCELLED",
  [Status.UNIMPLEMENTED]: "NOT_IMPLEMENTED",
};

/** Turns a service's own errors into StatusErrors; `undefined` for what it does not know. */
export type ErrorMap = (error: unknown) => StatusError | undefined;

// Codes that keep their meaning one hop further; any other failure of a dependency is our own fault to the caller.
const PASSED_ON: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  Status.UNAVAILABLE,
  Status.DEADLINE_EXCEEDED,
  Status.CANCELLED,
  Status.RESOURCE_EXHAUSTED,
  Status.NOT_FOUND,
  Status.INVALID_ARGUMENT,
  Status.FAILED_PRECONDITION,
  Status.UNAUTHENTICATED,
  Status.PERMISSION_DENIED,
  Status.UNIMPLEMENTED,
]);

/** The status that a caller gets for an error of a handler. */
export function toStatusError(error: unknown, map?: ErrorMap): StatusError {
  const known = error instanceof StatusError ? error : map?.(error);
  if (known === undefined || (known.remote && !PASSED_ON.has(known.code))) return internalError(error);
  return known;
}

/** INTERNAL, with the cause for the log only. */
export function internalError(cause: unknown): StatusError {
  return StatusError.of({ code: Status.INTERNAL, reason: "INTERNAL", message: "internal error", cause });
}

export function deadlineExceeded(cause?: unknown): StatusError {
  return StatusError.of({
    code: Status.DEADLINE_EXCEEDED,
    reason: "DEADLINE_EXCEEDED",
    message: "the deadline passed",
    cause,
  });
}

export function cancelled(cause?: unknown): StatusError {
  return StatusError.of({ code: Status.CANCELLED, reason: "CANCELLED", message: "the caller went away", cause });
}

/** UNAVAILABLE because a dependency cannot be reached. */
export function dependencyUnavailable(dependency: string, cause?: unknown): StatusError {
  return StatusError.of({
    code: Status.UNAVAILABLE,
    reason: "DEPENDENCY_UNAVAILABLE",
    message: `${dependency} cannot be reached`,
    metadata: { dependency },
    cause,
  });
}

/** INVALID_ARGUMENT because a `request_id` was used with another request. */
export function requestIdReused(requestId: string): StatusError {
  return StatusError.of({
    code: Status.INVALID_ARGUMENT,
    reason: "REQUEST_ID_REUSED",
    message: `request_id ${requestId} was used with another request`,
    metadata: { request_id: requestId },
  });
}

/** UNIMPLEMENTED because `what` is not part of this build, and why. */
export function notImplemented(what: string, why: string): StatusError {
  return StatusError.of({
    code: Status.UNIMPLEMENTED,
    reason: "NOT_IMPLEMENTED",
    message: `${what}: ${why}`,
    metadata: { what },
  });
}

const TYPE_PREFIX = "type.googleapis.com/google.rpc.";

function encodeDetails(error: StatusError): Uint8Array {
  const info = ErrorInfo.fromPartial({ reason: error.reason, domain: ERROR_DOMAIN, metadata: error.metadata });
  const details = [{ typeUrl: `${TYPE_PREFIX}ErrorInfo`, value: ErrorInfo.encode(info).finish() }];
  if (error.violations.length > 0) {
    const badRequest = BadRequest.fromPartial({ fieldViolations: [...error.violations] });
    details.push({ typeUrl: `${TYPE_PREFIX}BadRequest`, value: BadRequest.encode(badRequest).finish() });
  }
  if (error.retryAfterMs !== undefined) {
    const retryInfo = RetryInfo.fromPartial({ retryDelay: millisToDuration(error.retryAfterMs) });
    details.push({ typeUrl: `${TYPE_PREFIX}RetryInfo`, value: RetryInfo.encode(retryInfo).finish() });
  }
  return RpcStatus.encode(RpcStatus.fromPartial({ code: error.code, message: error.message, details })).finish();
}

interface DecodedDetails {
  reason?: string;
  metadata?: Record<string, string>;
  violations?: FieldViolation[];
  retryAfterMs?: number;
}

// Details come from another process: what cannot be decoded is passed on but says nothing here.
function decodeDetails(bytes: Uint8Array): DecodedDetails {
  const decoded: DecodedDetails = {};
  try {
    for (const { typeUrl, value } of RpcStatus.decode(bytes).details) {
      switch (typeUrl.slice(TYPE_PREFIX.length)) {
        case "ErrorInfo": {
          const info = ErrorInfo.decode(value);
          decoded.reason = info.reason;
          decoded.metadata = info.metadata;
          break;
        }
        case "BadRequest":
          decoded.violations = BadRequest.decode(value).fieldViolations;
          break;
        case "RetryInfo": {
          const { retryDelay } = RetryInfo.decode(value);
          if (retryDelay !== undefined) decoded.retryAfterMs = durationToMillis(retryDelay);
          break;
        }
      }
    }
  } catch {
    return {};
  }
  return decoded;
}
