import { createRequire } from "node:module";
import { type DescMessage, fromBinary } from "@bufbuild/protobuf";
import { pathToString } from "@bufbuild/protobuf/reflect";
import type * as protovalidate from "@bufbuild/protovalidate";
import type { Validator } from "@bufbuild/protovalidate";
import { matches } from "./patterns.js";
import { type FieldViolation, Status, StatusError } from "./status.js";

// Ten megabytes of an idle process, and needed only where a rule is broken or not compiled (deploy/decisions/0195).
const load = createRequire(import.meta.url);
let loaded: Validator | undefined;

function validator(): Validator {
  if (loaded === undefined) {
    const { createValidator } = load("@bufbuild/protovalidate") as typeof protovalidate;
    loaded = createValidator({ regexMatch: matches });
  }
  return loaded;
}

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
  const result = validator().validate(schema, message);
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
