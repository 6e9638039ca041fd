import { ErrorInfo } from "@uait/gen/google/rpc/error_details.js";
import { Status } from "@uait/gen/google/rpc/status.js";
import { expect, test } from "vitest";
import { judge } from "./case-runner.js";
import type { CallResult } from "./echo-client.js";

const OK: CallResult = {
  code: "OK",
  message: "",
  responses: [{ message: "x", payload: "AAAA" }],
  trailers: {},
  details: undefined,
};

function failed(reason: string, domain = "uait.dev"): CallResult {
  const value = ErrorInfo.encode(ErrorInfo.fromPartial({ reason, domain, metadata: { name: "y" } })).finish();
  const details = [{ typeUrl: "type.googleapis.com/google.rpc.ErrorInfo", value }];
  const status = Status.encode(Status.fromPartial({ code: 5, message: "no y", details })).finish();
  return { code: "NOT_FOUND", message: "no y", responses: [], trailers: { "x-echo-a": "b" }, details: status };
}

test("result_as_expected_passes", () => {
  expect(judge({ code: "OK", responses: [{ message: "x" }], bytes: { payload: 3 } }, OK)).toBeUndefined();
  const expected = { code: "NOT_FOUND", reason: "R", metadata: { name: "y" }, trailers: { "x-echo-a": "~^b$" } };
  expect(judge(expected, failed("R"))).toBeUndefined();
});

test.each([
  ["another code", { code: "INTERNAL" }, OK, /^code: expected INTERNAL, came OK/],
  ["too few responses", { code: "OK", count: 2 }, OK, /^responses: expected 2, came 1/],
  ["another response", { code: "OK", responses: [{ message: "y" }] }, OK, /^responses\[0\].message: /],
  ["fewer bytes", { code: "OK", bytes: { payload: 4 } }, OK, /^payload: expected 4 bytes, came 3/],
  ["no details", { code: "OK", reason: "R" }, OK, /^details: /],
  ["another reason", { code: "NOT_FOUND", reason: "R" }, failed("S"), /^reason: expected "R", came "S"/],
  ["another domain", { code: "NOT_FOUND", reason: "R" }, failed("R", "else"), /^domain: /],
  ["a text that should be hidden", { code: "NOT_FOUND", hides: "no y" }, failed("R"), /^status: expected to hide/],
  ["no violations", { code: "NOT_FOUND", violations: [{ field: "a" }] }, failed("R"), /^violations: /],
  ["no trailer", { code: "OK", trailers: { a: "b" } }, OK, /^trailers.a: /],
])("result_with_%s_fails", (_, expected, result, error) => {
  expect(judge(expected, result)).toMatch(error);
});
