import { create, toBinary } from "@bufbuild/protobuf";
import { EchoRequestSchema, RelayRequestSchema } from "@uait/gen/es/uait/echo/v1/echo_pb.js";
import { expect, test } from "vitest";
import { validateBytes } from "./validate.js";

function echo(fields: Parameters<typeof create<typeof EchoRequestSchema>>[1]) {
  return validateBytes(EchoRequestSchema, toBinary(EchoRequestSchema, create(EchoRequestSchema, fields)));
}

test("request_that_keeps_its_rules_is_valid", () => {
  expect(echo({ message: "x", callId: "a-1", behaviour: { trailers: { "x-echo-a": "b" } } })).toBeUndefined();
});

test("request_that_breaks_rules_names_each_in_order", () => {
  const error = echo({ message: "", callId: "no spaces" });
  expect(error?.message).toMatch(/^invalid request: message: /);
  expect(error?.violations).toMatchObject([
    { field: "message", reason: "string.min_len" },
    { field: "call_id", reason: "string.pattern" },
  ]);
});

test("map_key_that_breaks_its_rule_has_a_path", () => {
  const error = echo({ message: "x", behaviour: { trailers: { "bad key": "v" } } });
  expect(error?.violations).toMatchObject([{ field: 'behaviour.trailers["bad key"]', reason: "string.pattern" }]);
});

test("list_item_that_breaks_its_rule_has_a_path", () => {
  const request = create(RelayRequestSchema, { message: "x", route: ["echo-go", "NOT A NAME"] });
  const error = validateBytes(RelayRequestSchema, toBinary(RelayRequestSchema, request));
  expect(error?.violations).toMatchObject([{ field: "route[1]", reason: "string.pattern" }]);
});

test("length_is_counted_in_characters_not_in_code_units", () => {
  expect(echo({ message: "🌍".repeat(4096) })).toBeUndefined();
  expect(echo({ message: "🌍".repeat(4097) })?.violations).toMatchObject([{ reason: "string.max_len" }]);
});

test("bytes_with_invalid_utf8_are_refused_as_the_callers_fault", () => {
  const error = validateBytes(EchoRequestSchema, Uint8Array.of(0x0a, 2, 0xc3, 0x28));
  expect(error).toMatchObject({ code: 3, reason: "FIELD_INVALID", violations: [{ reason: "encoding" }] });
});

test("bytes_that_are_no_message_are_refused_as_the_callers_fault", () => {
  expect(validateBytes(EchoRequestSchema, Uint8Array.of(0x0a, 200))).toMatchObject({
    code: 3,
    reason: "FIELD_INVALID",
  });
});
