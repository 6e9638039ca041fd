import { fileURLToPath } from "node:url";
import { loadSync } from "@grpc/proto-loader";
import { expect, test } from "vitest";
import { type MessageDescriptor, ProtoJson } from "./proto-json.js";

const ROOT = fileURLToPath(new URL("../../../proto", import.meta.url));
const definition = loadSync("uait/echo/v1/echo.proto", { includeDirs: [ROOT, `${ROOT}/third_party`] });
const json = new ProtoJson(definition);
const type = (name: string) => definition[`uait.echo.v1.${name}`]?.["type"] as unknown as MessageDescriptor;

test.each([
  ["20s", { seconds: "20", nanos: 0 }],
  ["0.1s", { seconds: "0", nanos: 100_000_000 }],
  ["-1.5s", { seconds: "-1", nanos: -500_000_000 }],
])("duration_%s_becomes_its_object_and_back", (text, object) => {
  expect(json.toObject(type("ExpandRequest"), { interval: text })).toEqual({ interval: object });
  expect(json.toJson(type("ExpandRequest"), { interval: object })).toEqual({ interval: text });
});

test("nested_messages_lists_and_maps_are_walked", () => {
  const hops = [{ timeLeft: { seconds: "3", nanos: 0 }, scopes: ["a"] }, { service: "s" }];
  expect(json.toJson(type("RelayResponse"), { hops })).toEqual({
    hops: [{ timeLeft: "3s", scopes: ["a"] }, { service: "s" }],
  });
  const behaviour = { delay: "1s", trailers: { "x-echo-a": "b" } };
  expect(json.toObject(type("EchoRequest"), { behaviour })).toEqual({
    behaviour: { delay: { seconds: "1", nanos: 0 }, trailers: { "x-echo-a": "b" } },
  });
});

test("timestamp_becomes_rfc_3339", () => {
  const endedAt = { seconds: "1700000000", nanos: 5_000_000 };
  expect(json.toJson(type("AwaitOutcomeResponse"), { endedAt })).toEqual({ endedAt: "2023-11-14T22:13:20.005Z" });
});

test("field_that_the_contract_does_not_have_is_refused", () => {
  expect(() => json.toObject(type("EchoRequest"), { massage: "x" })).toThrow("EchoRequest has no field massage");
});
