import { BadRequest, ErrorInfo, RetryInfo } from "@uait/gen/google/rpc/error_details.js";
import { Status as RpcStatus } from "@uait/gen/google/rpc/status.js";
import { type CallOptions, ClientError, Metadata, Status } from "nice-grpc";

/** How a call ended, whatever protocol it took. */
export interface Outcome<Response> {
  /** Name of the gRPC code. */
  readonly code: keyof typeof Status;
  readonly message: string;
  readonly info: ErrorInfo | undefined;
  readonly violations: readonly { readonly field: string; readonly reason: string }[];
  readonly retryAfterMs: number | undefined;
  readonly response: Response | undefined;
}

/** Awaits a gRPC call and reads how it ended; `call` passes the options on. */
export async function outcomeOf<Response>(
  call: (options: CallOptions) => Promise<Response>,
  headers: Readonly<Record<string, string | string[]>> = {},
): Promise<Outcome<Response>> {
  let trailer = Metadata();
  const options: CallOptions = {
    metadata: Metadata(headers),
    onTrailer: (received) => {
      trailer = received;
    },
  };
  try {
    const response = await call(options);
    return { code: "OK", message: "", info: undefined, violations: [], retryAfterMs: undefined, response };
  } catch (error) {
    if (!(error instanceof ClientError)) throw error;
    const details = trailer.get("grpc-status-details-bin");
    return { ...failure(error.code, error.details, details), response: undefined };
  }
}

/** Reads a status with its details. */
export function failure(
  code: number,
  message: string,
  details: Uint8Array | undefined,
): Omit<Outcome<never>, "response"> {
  const status = details === undefined ? undefined : RpcStatus.decode(details);
  if (status !== undefined && status.code !== code)
    throw new Error(`status ${code}, but its details say ${status.code}`);
  const detail = (name: string): Uint8Array | undefined =>
    status?.details.find(({ typeUrl }) => typeUrl === `type.googleapis.com/google.rpc.${name}`)?.value;
  const [info, bad, retry] = [detail("ErrorInfo"), detail("BadRequest"), detail("RetryInfo")];
  const delay = retry && RetryInfo.decode(retry).retryDelay;
  return {
    code: Status[code] as keyof typeof Status,
    message,
    info: info && ErrorInfo.decode(info),
    violations: bad ? BadRequest.decode(bad).fieldViolations : [],
    retryAfterMs: delay && Number(delay.seconds) * 1000 + delay.nanos / 1e6,
  };
}
