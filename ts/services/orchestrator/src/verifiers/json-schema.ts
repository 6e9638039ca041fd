import { Ajv2020, type ErrorObject, type ValidateFunction } from "ajv/dist/2020.js";
import { fullFormats } from "ajv-formats/dist/formats.js";
import { ExpressionError } from "./expression-error.js";
import { compileRegex } from "./regex.js";
import { type JsonSchema, type Opinion, opinion } from "./verifier.js";

/** Highest score of a text that does not fulfil the schema. */
const PARTIAL_LIMIT = 0.9;
const SHOWN_ERRORS = 20;

/** A schema that was found well-formed. */
export interface CompiledSchema {
  readonly validate: ValidateFunction;
  readonly required: readonly string[];
}

// Patterns run by RE2 instead of the backtracking engine. Ajv tells expressions apart by `toString`, and `code` only
// names the engine in code that is never stored.
const re2 = Object.assign(
  (pattern: string) => {
    const expression = compileOnce(pattern);
    return { test: (text: string) => expression.test(text), toString: () => pattern };
  },
  { code: "re2" },
);

// Compiling takes some 30 ms, and an attempt is checked by the schema of the one before.
const compiledSchemas = new Map<string, CompiledSchema>();
const KEPT_SCHEMAS = 32;

/** Compiles a JSON Schema, 2020-12, that refers to nothing outside itself. @throws ExpressionError */
export function compileSchema(schema: string): CompiledSchema {
  const known = compiledSchemas.get(schema);
  if (known !== undefined) return known;
  const fresh = compileFresh(schema);
  if (compiledSchemas.size >= KEPT_SCHEMAS) compiledSchemas.clear();
  compiledSchemas.set(schema, fresh);
  return fresh;
}

function compileFresh(schema: string): CompiledSchema {
  let parsed: unknown;
  try {
    parsed = JSON.parse(schema);
  } catch (error) {
    throw new ExpressionError("JSON Schema", `not JSON: ${(error as Error).message}`);
  }
  if ((typeof parsed !== "object" && typeof parsed !== "boolean") || parsed === null || Array.isArray(parsed)) {
    throw new ExpressionError("JSON Schema", "a schema is an object or a boolean");
  }
  try {
    // A fresh instance each time, so that no caller's $id is seen by another's schema.
    const ajv = new Ajv2020({
      strict: false,
      allErrors: true,
      logger: false,
      formats: fullFormats as never,
      code: { regExp: re2 as never },
    });
    return { validate: ajv.compile(parsed), required: requiredOf(parsed) };
  } catch (error) {
    if (error instanceof ExpressionError) throw new ExpressionError("JSON Schema", `a pattern: ${error.message}`);
    throw new ExpressionError("JSON Schema", error instanceof Error ? error.message : String(error));
  }
}

/** Whether a text is JSON that fulfils the schema, or how much of what it requires. @throws ExpressionError */
export function checkJsonSchema(check: JsonSchema, text: string): Opinion {
  const { validate, required } = compileSchema(check.schema);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    return opinion(0, `not JSON: ${(error as Error).message}`);
  }
  if (validate(value)) return opinion(1, "it fulfils the schema");
  const errors = validate.errors ?? [];
  const explanation = errors.slice(0, SHOWN_ERRORS).map(describe).join("; ");
  return opinion(Math.min(PARTIAL_LIMIT, fulfilledShare(required, value, errors)), explanation);
}

function fulfilledShare(required: readonly string[], value: unknown, errors: readonly ErrorObject[]): number {
  if (required.length === 0 || typeof value !== "object" || value === null || Array.isArray(value)) return 0;
  const broken = new Set(
    errors.map(({ instancePath }) => instancePath.split("/")[1]).filter((name) => name !== undefined),
  );
  const fulfilled = required.filter((name) => Object.hasOwn(value, name) && !broken.has(pointerToken(name)));
  return fulfilled.length / required.length;
}

function requiredOf(schema: object | boolean): string[] {
  const required: unknown = typeof schema === "object" ? (schema as { required?: unknown }).required : undefined;
  return Array.isArray(required) ? [...new Set(required.filter((name) => typeof name === "string"))] : [];
}

// RFC 6901, section 3.
function pointerToken(name: string): string {
  return name.replaceAll("~", "~0").replaceAll("/", "~1");
}

function describe({ instancePath, message = "is wrong" }: ErrorObject): string {
  return `${instancePath === "" ? "the value" : instancePath} ${message}`;
}

const compiled = new Map<string, ReturnType<typeof compileRegex>>();
const KEPT_PATTERNS = 256;

function compileOnce(pattern: string): ReturnType<typeof compileRegex> {
  const known = compiled.get(pattern);
  if (known !== undefined) return known;
  if (compiled.size >= KEPT_PATTERNS) compiled.clear();
  const expression = compileRegex(pattern);
  compiled.set(pattern, expression);
  return expression;
}
