import { gunzipSync, gzipSync } from "node:zlib";
import { EchoRequest, EchoResponse } from "@uait/gen/uait/echo/v1/echo.js";
import { type CaseResult, DEFAULT_TENANT, timed } from "./case-runner.js";
import type { Target } from "./echo-client.js";
import { decodeStatusDetails, STATUS_DETAILS_KEY } from "./rpc-status.js";
import { frame, trailer, unframe, type WireAnswer, WireConnection, type WireRequest } from "./wire-call.js";

const OK = "0";
const INVALID_ARGUMENT = "3";
const DEADLINE_EXCEEDED = "4";
const UNIMPLEMENTED = "12";
const INTERNAL = "13";

type Check = (connection: WireConnection, target: Target) => Promise<string | undefined>;

/** Servers of whose framework a check cannot ask everything, each with what it does instead. */
const EXCEPTIONS = {
  /** gRPC's C core does not tell a Python handler how its request was compressed: the answer is plain. */
  gzipAnsweredPlain: ["echo-python"],
  /** tonic and the C core never look at the content-type: the call is answered. */
  contentTypeIgnored: ["echo-rust", "echo-python"],
  /** The C core resets a stream without `te: trailers`; the others answer it. */
  teMissingReset: ["echo-python"],
} as const satisfies Readonly<Record<string, readonly string[]>>;

const excepted = (exception: keyof typeof EXCEPTIONS, { service }: Target): boolean =>
  (EXCEPTIONS[exception] as readonly string[]).includes(service ?? "");

// What client libraries hide: they end calls themselves, and never send what they should not.
const CHECKS: Readonly<Record<string, Check>> = {
  wire_deadline_is_kept_by_the_server: async (connection, target) => {
    const request = { message: "slow", behaviour: { delay: { seconds: 8n, nanos: 0 } } };
    const startedMs = performance.now();
    const answer = await connection.request(echo(target, request, { "grpc-timeout": "300m" }));
    const ms = performance.now() - startedMs;
    if (ms > 2000) return `answer: expected within 2000 ms of a 300 ms deadline, came after ${ms.toFixed(0)} ms`;
    return expectStatus(answer, DEADLINE_EXCEEDED);
  },

  wire_gzip_is_answered_in_kind: async (connection, target) => {
    const message = "squeeze ".repeat(200);
    const payload = gzipSync(EchoRequest.encode(EchoRequest.fromPartial({ message })).finish());
    const plain = echo(target, {}, { "grpc-encoding": "gzip", "grpc-accept-encoding": "identity,gzip" });
    const answer = await connection.request({ ...plain, body: frame(payload, true) });
    const error = expectStatus(answer, OK);
    if (error !== undefined) return error;
    const { compressed, payload: reply } = unframe(answer.body);
    const expected = !excepted("gzipAnsweredPlain", target);
    if (compressed !== expected) return `compressed flag: expected ${String(expected)}, came ${String(compressed)}`;
    const encoding = answer.headers["grpc-encoding"] ?? "identity";
    if (compressed && encoding !== "gzip") return `grpc-encoding: expected gzip, came ${String(encoding)}`;
    const came = EchoResponse.decode(compressed ? gunzipSync(reply) : reply).message;
    return came === message ? undefined : `message: expected ${message.length} characters, came ${came.length}`;
  },

  wire_te_missing_is_answered: async (connection, target) => {
    const { path, headers, body } = echo(target, { message: "x" });
    const { te: _, ...without } = headers;
    const answer = await connection.request({ path, headers: without, body });
    const ended = excepted("teMissingReset", target) ? answer.reset !== 0 : spoke(answer);
    if (!ended) return `answer: expected another end of the call, came ${describe(answer)}`;
    return expectStatus(await connection.request(echo(target, { message: "x" })), OK);
  },

  // Whatever becomes of the call, the connection must go on.
  wire_content_type_wrong_is_refused: async (connection, target) => {
    const { path, headers, body } = echo(target, { message: "x" });
    const answer = await connection.request({ path, headers: { ...headers, "content-type": "text/plain" }, body });
    if (excepted("contentTypeIgnored", target)) {
      const error = expectStatus(answer, OK);
      if (error !== undefined) return error;
    } else if (trailer(answer, "grpc-status") === OK || (!spoke(answer) && answer.reset === 0)) {
      return `answer: expected a refusal, came ${describe(answer)}`;
    }
    return expectStatus(await connection.request(echo(target, { message: "x" })), OK);
  },

  wire_method_unknown_is_unimplemented: async (connection, target) => {
    const request = echo(target, { message: "x" });
    const answer = await connection.request({ ...request, path: "/uait.echo.v1.EchoService/Nothing" });
    return expectStatus(answer, UNIMPLEMENTED);
  },

  wire_status_details_are_google_rpc_status: async (connection, target) => {
    const answer = await connection.request(echo(target, { message: "" }));
    const error = expectStatus(answer, INVALID_ARGUMENT);
    if (error !== undefined) return error;
    const encoded = trailer(answer, STATUS_DETAILS_KEY);
    if (encoded === undefined) return `${STATUS_DETAILS_KEY}: expected, came none`;
    const { status, errorInfo, violations } = decodeStatusDetails(Buffer.from(encoded, "base64"));
    const message = decodeURIComponent(trailer(answer, "grpc-message") ?? "");
    if (String(status.code) !== INVALID_ARGUMENT) return `details.code: expected 3, came ${status.code}`;
    if (status.message !== message) return `details.message: expected ${message}, came ${status.message}`;
    if (errorInfo?.reason !== "FIELD_INVALID" || errorInfo.domain !== "uait.dev") {
      return `ErrorInfo: expected FIELD_INVALID of uait.dev, came ${JSON.stringify(errorInfo)}`;
    }
    return violations[0]?.field === "message"
      ? undefined
      : `violations: expected message, came ${JSON.stringify(violations)}`;
  },

  wire_invalid_utf8_is_refused: async (connection, target) => {
    // Field 1 (message), two bytes that no UTF-8 text holds.
    const request = { ...echo(target, {}), body: frame(Uint8Array.of(0x0a, 2, 0xc3, 0x28)) };
    const answer = await connection.request(request);
    const status = trailer(answer, "grpc-status");
    if (status === INVALID_ARGUMENT || status === INTERNAL) return undefined;
    return `grpc-status: expected 3 or 13, came ${describe(answer)}`;
  },
};

/** Names of the checks, in their order. */
export const WIRE_CHECKS: readonly string[] = Object.keys(CHECKS);

/** Runs the checks on the raw protocol, or the one called `only`. */
export async function* runWireChecks(target: Target, only?: string): AsyncGenerator<CaseResult> {
  for (const [name, check] of Object.entries(CHECKS)) {
    if (only !== undefined && name !== only) continue;
    // A connection each: a server may end one that misbehaves.
    const connection = new WireConnection(target);
    yield await timed(name, () => check(connection, target));
    connection.close();
  }
}

function echo(
  { service }: Target,
  request: Parameters<typeof EchoRequest.fromPartial>[0],
  headers: Readonly<Record<string, string>> = {},
): WireRequest {
  return {
    path: "/uait.echo.v1.EchoService/Echo",
    headers: {
      "content-type": "application/grpc",
      te: "trailers",
      "x-uait-tenant": DEFAULT_TENANT,
      ...(service === undefined ? {} : { "x-uait-service": service }),
      ...headers,
    },
    body: frame(EchoRequest.encode(EchoRequest.fromPartial(request)).finish()),
  };
}

/** Whether an answer came at all: a gRPC status or an HTTP error. */
const spoke = (answer: WireAnswer): boolean =>
  trailer(answer, "grpc-status") !== undefined || Number(answer.headers[":status"]) >= 400;

function expectStatus(answer: WireAnswer, code: string): string | undefined {
  return trailer(answer, "grpc-status") === code
    ? undefined
    : `grpc-status: expected ${code}, came ${describe(answer)}`;
}

function describe(answer: WireAnswer): string {
  const grpcStatus = trailer(answer, "grpc-status") ?? "none";
  const message = trailer(answer, "grpc-message") ?? "";
  return `grpc-status ${grpcStatus} (${message}), HTTP ${String(answer.headers[":status"])}, reset ${answer.reset}`;
}
