import { Status } from "@uait/kit";
import { expect, test } from "vitest";
import { EchoError, toStatus } from "./error.js";

test("missing_is_not_found_with_its_resource", () => {
  expect(toStatus(new EchoError({ kind: "missing", name: "atlantis" }))).toMatchObject({
    code: Status.NOT_FOUND,
    message: 'no echo named "atlantis"',
    reason: "RESOURCE_NOT_FOUND",
    metadata: { resource: "echo", name: "atlantis" },
  });
});

test("error_of_somebody_else_is_not_in_the_map", () => {
  expect(toStatus(new Error("x"))).toBeUndefined();
});
