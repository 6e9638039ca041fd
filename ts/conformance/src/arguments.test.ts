import { expect, test } from "vitest";
import { parseArguments } from "./arguments.js";

test("command_line_with_the_least_calls_the_target_by_the_generated_client", () => {
  const target = { address: "127.0.0.1:1", tls: undefined, service: undefined };
  expect(parseArguments(["--cases", "f", "--target", "127.0.0.1:1"])).toEqual({
    client: "generated",
    cases: "f",
    target,
    server: target,
    pid: undefined,
    service: "echo-ts",
    only: undefined,
  });
});

test("service_is_sent_to_both_and_health_is_asked_of_the_server", () => {
  const argv = "--cases f --target 127.0.0.1:1 --server 127.0.0.1:2 --service echo-go --pid 7 --only a".split(" ");
  expect(parseArguments(argv)).toMatchObject({
    target: { address: "127.0.0.1:1", service: "echo-go" },
    server: { address: "127.0.0.1:2", service: "echo-go" },
    pid: 7,
    only: "a",
  });
});

test.each([
  ["no target", "--cases f"],
  ["no cases", "--target 127.0.0.1:1"],
  ["a target without a port", "--cases f --target localhost"],
  ["an unknown client", "--cases f --target 127.0.0.1:1 --client curl"],
  ["an unknown flag", "--cases f --target 127.0.0.1:1 --verbose"],
  ["a pid that is none", "--cases f --target 127.0.0.1:1 --pid -3"],
  ["a part of the TLS files", "--cases f --target 127.0.0.1:1 --tls-ca f"],
])("command_line_with_%s_is_refused", (_, line) => {
  expect(() => parseArguments(line.split(" "))).toThrow();
});

test("command_line_of_the_wire_client_needs_no_cases", () => {
  expect(parseArguments(["--client", "wire", "--target", "127.0.0.1:1"]).client).toBe("wire");
});
