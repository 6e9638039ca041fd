import { describe, expect, test } from "vitest";
import { type ErrorCode, Status, StatusError, toStatusError } from "./status.js";

const CODES = Object.values(Status).filter((code): code is ErrorCode => typeof code === "number" && code !== Status.OK);

const PASSED_ON = [
  "UNAVAILABLE",
  "DEADLINE_EXCEEDED",
  "CANCELLED",
  "RESOURCE_EXHAUSTED",
  "NOT_FOUND",
  "INVALID_ARGUMENT",
  "FAILED_PRECONDITION",
  "UNAUTHENTICATED",
  "PERMISSION_DENIED",
  "UNIMPLEMENTED",
];

describe("StatusError", () => {
  test("details_after_a_round_trip_are_the_same", () => {
    const sent = StatusError.of({
      code: Status.INVALID_ARGUMENT,
      reason: "FIELD_INVALID",
      message: "invalid request: a: must be longer",
      metadata: { key: "value" },
      violations: [{ field: "a", description: "must be longer", reason: "string.min_len" }],
      retryAfterMs: 1500,
    });
    const came = StatusError.received(sent.code, sent.message, sent.details());
    expect(came).toMatchObject({ reason: "FIELD_INVALID", metadata: { key: "value" }, retryAfterMs: 1500 });
    expect(came.violations).toMatchObject([{ field: "a", description: "must be longer", reason: "string.min_len" }]);
    expect(came.details()).toEqual(sent.details());
  });

  test("details_never_hold_the_cause", () => {
    const error = StatusError.of({
      code: Status.INTERNAL,
      reason: "INTERNAL",
      message: "m",
      cause: new Error("hunter2"),
    });
    expect(Buffer.from(error.details() ?? []).includes("hunter2")).toBe(false);
  });

  test("details_that_cannot_be_decoded_are_passed_on_untouched", () => {
    const garbage = Uint8Array.of(0xff, 0xff, 0xff);
    const error = StatusError.received(Status.NOT_FOUND, "m", garbage);
    expect(error.reason).toBe("");
    expect(error.details()).toBe(garbage);
  });

  test("unavailable_without_details_gets_a_reason", () => {
    expect(StatusError.received(Status.UNAVAILABLE, "m", undefined).reason).toBe("DEPENDENCY_UNAVAILABLE");
  });
});

describe("toStatusError", () => {
  test.each(CODES.map((code) => [Status[code], code] as const))("remote_%s_is_passed_on_or_internal", (name, code) => {
    const remote = StatusError.received(code, "told by another", undefined);
    const status = toStatusError(remote);
    if (PASSED_ON.includes(name)) expect(status).toBe(remote);
    else
      expect(status).toMatchObject({
        code: Status.INTERNAL,
        message: "internal error",
        reason: "INTERNAL",
        cause: remote,
      });
  });

  test("own_status_is_kept_whatever_its_code", () => {
    const own = StatusError.of({ code: Status.ABORTED, reason: "ETAG_MISMATCH", message: "m" });
    expect(toStatusError(own)).toBe(own);
  });

  test("domain_error_goes_through_the_map", () => {
    const mapped = StatusError.of({ code: Status.NOT_FOUND, reason: "RESOURCE_NOT_FOUND", message: "m" });
    expect(toStatusError(new TypeError("x"), (error) => (error instanceof TypeError ? mapped : undefined))).toBe(
      mapped,
    );
  });

  test("unknown_error_hides_its_text", () => {
    const cause = new Error("hunter2");
    expect(toStatusError(cause, () => undefined)).toMatchObject({
      code: Status.INTERNAL,
      message: "internal error",
      cause,
    });
  });
});
