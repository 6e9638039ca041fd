import { type DescMessage, fromBinary } from "@bufbuild/protobuf";
import { pathToString } from "@bufbuild/protobuf/reflect";
import { createValidator } from "@bufbuild/protovalidate";
import { type FieldViolation, Status, StatusError } from "./status.js";

// Patterns come from our own contracts, which `buf lint` and a test keep to linear-time syntax, so V8's engine is safe
// here; the library's RE2 in JavaScript takes several times the processor time for the same answers.
const patterns = new Map<string, RegExp>();
const validator = createValidator({
  regexMatch(pattern, against) {
    let regExp = patterns.get(pattern);
    if (regExp === undefined) {
      regExp = new RegExp(pattern, "u");
      patterns.set(pattern, regExp);
    }
    return regExp.test(against);
  },
});

/**
 * Holds an encoded message to its protovalidate rules.
 *
 * @returns the INVALID_ARGUMENT with every broken rule, or `undefined` when there is none.
 */
export function validateBytes(schema: DescMessage, bytes: Uint8Array): StatusError | undefined {
  let message: ReturnType<typeof fromBinary>;
  try {
    message = fromBinary(schema, bytes);
  } catch (error) {
    // Reached by invalid UTF-8, which ts-proto would replace, and by bytes that are no such message at all.
    const description = `must be an encoded ${schema.typeName} with valid UTF-8`;
    return fieldInvalid([{ field: "", description, reason: "encoding" }], error);
  }
  const result = validator.validate(schema, message);
  if (result.kind === "valid") return undefined;
  if (result.kind === "error") throw result.error;
  return fieldInvalid(
    result.violations.map((violation) => ({
      field: pathToString(violation.field),
      description: violation.message,
      reason: violation.ruleId,
    })),
  );
}

/** INVALID_ARGUMENT for broken rules, of a contract or of a service's own; at least one. */
export function fieldInvalid(violations: readonly FieldViolation[], cause?: unknown): StatusError {
  const first = violations[0];
  const place = first === undefined || first.field === "" ? "" : `${first.field}: `;
  return StatusError.of({
    code: Status.INVALID_ARGUMENT,
    reason: "FIELD_INVALID",
    message: `invalid request: ${place}${first?.description ?? "a rule is broken"}`,
    violations,
    cause,
  });
}
