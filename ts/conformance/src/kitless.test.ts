import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import type { Duration } from "@uait/gen/google/protobuf/duration.js";
import { EchoServiceDefinition, type EchoServiceImplementation } from "@uait/gen/uait/echo/v1/echo.js";
import { createServer, type Server } from "nice-grpc";
import { ServerError, Status } from "nice-grpc-common";
import { afterAll, beforeAll, expect, test } from "vitest";
import { readCases } from "./case-file.js";
import { runCases } from "./case-runner.js";
import { dynamicLibrary } from "./dynamic-client.js";
import type { Target } from "./echo-client.js";
import { generatedLibrary } from "./generated-client.js";

const CASES = fileURLToPath(new URL("../../../proto/uait/echo/v1/cases.yaml", import.meta.url));

function unimplemented(): never {
  throw new ServerError(Status.UNIMPLEMENTED, "not here");
}

const HOUR_MS = 3_600_000;

function millis(duration: Duration | undefined): number {
  return duration === undefined ? 0 : Number(duration.seconds) * 1000 + duration.nanos / 1e6;
}

/** Echo as plain nice-grpc makes it: the messages are right, and nothing that a kit owes is there. */
const PLAIN: EchoServiceImplementation = {
  async echo({ message, payload, behaviour }, { signal, trailer }) {
    for (const [key, value] of Object.entries(behaviour?.trailers ?? {})) trailer.set(key, value);
    const delayMs = millis(behaviour?.delay);
    if (delayMs <= HOUR_MS) await delay(delayMs, undefined, { signal });
    const { failure } = behaviour ?? {};
    if (failure?.$case === "missing") throw new ServerError(Status.NOT_FOUND, `no echo named "${failure.value}"`);
    if (failure?.$case === "crash") throw new ServerError(Status.INTERNAL, failure.value);
    return { message, payload };
  },
  async collect(requests) {
    const messages: string[] = [];
    for await (const { message } of requests) messages.push(message);
    return { message: messages.join(" "), count: messages.length };
  },
  async *expand({ message, count, interval }, { signal }) {
    for (let index = 0; index < count; index++) {
      if (interval !== undefined && index > 0) await delay(millis(interval), undefined, { signal });
      yield { message, index };
    }
  },
  async *converse(requests) {
    let index = 0;
    for await (const { message } of requests) yield { message, index: index++ };
  },
  relay: unimplemented,
  publish: unimplemented,
  awaitEvent: unimplemented,
  awaitOutcome: unimplemented,
};

/** What gRPC itself owes; every other case is the kit's. */
const PASSED_WITHOUT_A_KIT = [
  "unary_unicode_survives",
  "client_stream_joins_in_order",
  "server_stream_of_ten_thousand_is_complete",
  "bidi_answers_each",
  "deadline_passed_ends_the_call",
  "deadline_passed_ends_a_stream",
  "message_near_the_limit_passes",
  "message_over_the_limit_is_refused",
  "trailing_metadata_arrives",
  "trailing_metadata_arrives_with_an_error",
  "compressed_request_is_understood",
  "compressed_request_over_the_limit_is_refused",
  "thousand_streams_at_once",
];

let server: Server;
let target: Target;

beforeAll(async () => {
  server = createServer();
  server.add(EchoServiceDefinition, PLAIN);
  target = { address: `127.0.0.1:${await server.listen("127.0.0.1:0")}`, tls: undefined, service: undefined };
});

afterAll(() => server.forceShutdown());

// The suite would be worth nothing if it could not fail: each case that asks something of the kit fails without one.
test.each([
  ["generated", generatedLibrary],
  ["dynamic", dynamicLibrary],
])("server_without_a_kit_fails_every_case_of_the_kit_by_the_%s_client", async (_, library) => {
  const cases = await readCases(CASES);
  const options = { library, cases, target, server: target, pid: undefined, service: "echo-ts" };
  const passed: string[] = [];
  const errors = new Map<string, string | undefined>();
  for await (const { case: name, ok, error } of runCases(options)) {
    if (ok) passed.push(name);
    else errors.set(name, error);
  }
  expect(passed).toEqual(PASSED_WITHOUT_A_KIT);
  expect(passed.length + errors.size).toBe(cases.length);
  expect(errors.get("tenant_missing_is_refused")).toBe("code: expected UNAUTHENTICATED, came OK ()");
  expect(errors.get("unknown_error_hides_its_cause")).toMatch(/^message: expected "internal error", came "db password/);
  expect(errors.get("domain_error_has_its_reason")).toBe("details: expected google.rpc.Status, came none");
});
