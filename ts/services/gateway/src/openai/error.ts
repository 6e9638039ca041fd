import { Status, StatusError, toStatusError } from "@uait/kit";
import type { z } from "zod";
import { toStatus } from "../error.js";

/** An error in the shape of OpenAI's API. */
export interface OpenAiError {
  readonly status: number;
  /** Seconds, rounded up; `undefined` for none. */
  readonly retryAfterSeconds: number | undefined;
  readonly body: {
    readonly error: {
      readonly message: string;
      readonly type: string;
      readonly param: string | null;
      readonly code: string | null;
    };
  };
}

/** A request that is refused here, before anybody is called. */
export class BadRequest extends Error {
  constructor(
    message: string,
    readonly param: string | null,
    readonly code: string | null = null,
  ) {
    super(message);
    this.name = "BadRequest";
  }
}

/** The first of what is wrong with a body. */
export function badBody(error: z.ZodError): BadRequest {
  const [issue] = error.issues;
  if (issue === undefined) return new BadRequest("the body is no request", null);
  if (issue.code === "unrecognized_keys") {
    const param = [...issue.path, issue.keys[0]].join(".");
    return new BadRequest(`${param} is not supported`, param, "unsupported_parameter");
  }
  const param = issue.path.length === 0 ? null : issue.path.join(".");
  return new BadRequest(param === null ? issue.message : `${param}: ${issue.message}`, param, "invalid_value");
}

interface Kind {
  readonly status: number;
  readonly type: string;
}

const SERVER: Kind = { status: 500, type: "server_error" };
const KINDS: { readonly [Code in Status]?: Kind } = {
  [Status.INVALID_ARGUMENT]: { status: 400, type: "invalid_request_error" },
  [Status.FAILED_PRECONDITION]: { status: 400, type: "invalid_request_error" },
  [Status.OUT_OF_RANGE]: { status: 400, type: "invalid_request_error" },
  [Status.UNAUTHENTICATED]: { status: 401, type: "authentication_error" },
  [Status.PERMISSION_DENIED]: { status: 403, type: "permission_error" },
  [Status.NOT_FOUND]: { status: 404, type: "invalid_request_error" },
  [Status.ALREADY_EXISTS]: { status: 409, type: "invalid_request_error" },
  [Status.ABORTED]: { status: 409, type: "invalid_request_error" },
  [Status.RESOURCE_EXHAUSTED]: { status: 429, type: "rate_limit_error" },
  [Status.CANCELLED]: { status: 499, type: "server_error" },
  [Status.UNIMPLEMENTED]: { status: 501, type: "server_error" },
  [Status.UNAVAILABLE]: { status: 503, type: "server_error" },
  [Status.DEADLINE_EXCEEDED]: { status: 504, type: "server_error" },
};

// OpenAI's own words where clients look for them; otherwise ours, in lower case.
const CODES: Readonly<Record<string, string>> = {
  INPUT_TOO_LONG: "context_length_exceeded",
  BUDGET_EXHAUSTED: "insufficient_quota",
  OVERLOADED: "rate_limit_exceeded",
};

/** What a client of OpenAI's API is told of an error. */
export function openAiError(cause: unknown): OpenAiError {
  if (cause instanceof BadRequest) {
    const { message, param, code } = cause;
    return answer(400, { message, type: "invalid_request_error", param, code });
  }
  const { code, reason, message, metadata, violations, retryAfterMs } = toStatusError(cause, toStatus);
  const kind = KINDS[code] ?? SERVER;
  const word =
    reason === "RESOURCE_NOT_FOUND" && metadata["resource"] === "model"
      ? "model_not_found"
      : (CODES[reason] ?? reason.toLowerCase());
  const type = reason === "BUDGET_EXHAUSTED" ? "insufficient_quota" : kind.type;
  const param = violations[0]?.field ?? metadata["field"] ?? (word === "model_not_found" ? "model" : null);
  return answer(kind.status, { message, type, param, code: word }, retryAfterMs);
}

/** What HTTP itself refuses, such as a path or a body that is no JSON. */
export function httpError(status: number, message: string): OpenAiError {
  return answer(status, { message, type: "invalid_request_error", param: null, code: null });
}

function answer(status: number, error: OpenAiError["body"]["error"], retryAfterMs?: number): OpenAiError {
  const retryAfterSeconds = retryAfterMs === undefined ? undefined : Math.ceil(retryAfterMs / 1000);
  return { status, retryAfterSeconds, body: { error } };
}

/** Whether an error is a fault of ours, whose cause belongs into the log. */
export function isInternal(cause: unknown): boolean {
  if (cause instanceof BadRequest) return false;
  const { code } = cause instanceof StatusError ? cause : toStatusError(cause, toStatus);
  return code === Status.INTERNAL;
}
