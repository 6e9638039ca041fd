import { BadRequest, ErrorInfo } from "@uait/gen/google/rpc/error_details.js";
import { Status } from "@uait/gen/google/rpc/status.js";

/** Trailer that carries the encoded `google.rpc.Status`. */
export const STATUS_DETAILS_KEY = "grpc-status-details-bin";

/** What `grpc-status-details-bin` says. */
export interface StatusDetails {
  readonly status: Status;
  readonly errorInfo: ErrorInfo | undefined;
  readonly violations: readonly { readonly field: string; readonly description: string; readonly reason: string }[];
}

const TYPE_PREFIX = "type.googleapis.com/google.rpc.";

/** Decodes `google.rpc.Status`. @throws Error when the bytes are none. */
export function decodeStatusDetails(bytes: Uint8Array): StatusDetails {
  const status = Status.decode(bytes);
  const value = (name: string) => status.details.find(({ typeUrl }) => typeUrl === TYPE_PREFIX + name)?.value;
  const errorInfo = value("ErrorInfo");
  const badRequest = value("BadRequest");
  return {
    status,
    errorInfo: errorInfo === undefined ? undefined : ErrorInfo.decode(errorInfo),
    violations: badRequest === undefined ? [] : BadRequest.decode(badRequest).fieldViolations,
  };
}
