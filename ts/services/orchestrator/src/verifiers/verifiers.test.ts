import { describe, expect, test } from "vitest";
import { checkAgreement, plainAnswer } from "./agreement.js";
import { checkExact } from "./exact.js";
import { ExpressionError } from "./expression-error.js";
import { checkJsonSchema, compileSchema } from "./json-schema.js";
import { checkNumeric, lastNumber } from "./numeric.js";
import { type ProgramEnding, scoreProgram } from "./program.js";
import { checkRegex, extract } from "./regex.js";
import { MAX_EXPLANATION } from "./verifier.js";

describe("exact", () => {
  test.each([
    ["Paris", " Paris\n", {}, 1],
    ["New York", "New \t York", {}, 1],
    ["New York", "New  York", { keepSpace: true }, 0],
    ["Paris", "paris", {}, 0],
    ["Paris", "PARIS", { ignoreCase: true }, 1],
    ["Straße", "STRASSE", { ignoreCase: true }, 1],
    ["ΟΔΟΣ", "οδος", { ignoreCase: true }, 1],
    ["", "  ", {}, 1],
    ["Paris", "Paris is it", {}, 0],
  ])("expected_%j_against_%j_with_%j_scores_%d", (expected, text, options, score) => {
    const check = {
      kind: "exact",
      expected: ["other", expected],
      ignoreCase: false,
      keepSpace: false,
      ...options,
    } as const;
    expect(checkExact(check, text).score).toBe(score);
  });

  test("explanation_does_not_tell_what_is_expected", () => {
    const check = { kind: "exact", expected: ["secret"], ignoreCase: false, keepSpace: false } as const;
    expect(checkExact(check, "guess").explanation).toBe('"guess" is not what is expected');
  });
});

describe("numeric", () => {
  test.each([
    ["The answer is 42.", 42],
    ["3 + 4 = 7", 7],
    ["-5", -5],
    ["\u22125", -5],
    ["x=-2.5e3", -2500],
    ["10-3", 3],
    ["(2)-3", 3],
    ["1,234,567.5", 1234567.5],
    ["12,34", 34],
    [".5", 0.5],
    ["no. 5, then none", 5],
    ["none", undefined],
    ["1e999", undefined],
  ])("last_number_of_%j_is_%d", (text, number) => {
    expect(lastNumber(text)).toBe(number);
  });

  test.each([
    [10, 0, 0, "10", 1],
    [10, 0.5, 0, "10.5", 1],
    [10, 0.5, 0, "10.6", 0],
    [1000, 1, 0.01, "1010", 1],
    [-1000, 0, 0.01, "-1010", 1],
    [10, 0, 0, "ten", 0],
  ])(
    "expected_%d_within_%d_or_share_%d_against_%j_scores_%d",
    (expected, absoluteTolerance, relativeTolerance, text, score) => {
      expect(checkNumeric({ kind: "numeric", expected, absoluteTolerance, relativeTolerance }, text).score).toBe(score);
    },
  );

  test("explanation_does_not_tell_what_is_expected", () => {
    const check = { kind: "numeric", expected: 42, absoluteTolerance: 0, relativeTolerance: 0 } as const;
    expect(checkNumeric(check, "41").explanation).toBe("41 is not the number expected");
  });

  test("long_text_of_digits_is_read_in_linear_time", () => {
    expect(lastNumber(`${"1".repeat(256 * 1024)} 7`)).toBe(7);
  });
});

describe("regex", () => {
  test.each([
    ["b+", false, "abbc", 1],
    ["b+", true, "abbc", 0],
    ["a|ab", true, "ab", 1],
    ["(?i)HELLO", false, "say hello", 1],
    ["^b", false, "a\nb", 0],
    ["(?m)^b", false, "a\nb", 1],
    ["\\p{Greek}", false, "alpha", 0],
  ])("%j_full_%j_against_%j_scores_%d", (pattern, full, text, score) => {
    expect(checkRegex({ kind: "regex", pattern, full }, text).score).toBe(score);
  });

  test.each(["(", "a{2000}", "(?=a)", "(a)\\1", "[z-a]"])("%j_is_no_re2_expression", (pattern) => {
    expect(() => checkRegex({ kind: "regex", pattern, full: false }, "")).toThrow(ExpressionError);
  });

  test("extract_takes_the_first_group_or_the_match", () => {
    expect(extract("answer: (\\w+)", "answer: yes, answer: no")).toBe("yes");
    expect(extract("\\d+", "a 12 b 3")).toBe("12");
    expect(extract("x(y)?", "x")).toBeUndefined();
  });
});

describe("json schema", () => {
  const INVOICE = JSON.stringify({
    type: "object",
    required: ["number", "total", "lines"],
    properties: {
      number: { type: "string", pattern: "^R-[0-9]+$" },
      total: { type: "number", minimum: 0 },
      lines: { type: "array", items: { $ref: "#/$defs/line" } },
      day: { type: "string", format: "date" },
    },
    $defs: { line: { type: "object", required: ["text"] } },
  });

  test.each([
    ['{"number": "R-1", "total": 2, "lines": [{"text": "a"}]}', 1],
    ['{"number": "R-1", "total": 2, "lines": [{}]}', 2 / 3],
    ['{"number": "1", "total": -2, "lines": []}', 1 / 3],
    ['{"number": "R-1", "total": 2, "lines": [], "day": "2026-02-30"}', 0.9],
    ["[]", 0],
    ["{}", 0],
    ["{", 0],
    ['Here it is: {"number": "R-1"}', 0],
  ])("%j_scores_%d", (text, score) => {
    expect(checkJsonSchema({ kind: "json_schema", schema: INVOICE }, text).score).toBeCloseTo(score, 10);
  });

  test("draft_2020_12_keywords_are_known", () => {
    const schema = JSON.stringify({ type: "array", prefixItems: [{ type: "integer" }], items: false });
    expect(checkJsonSchema({ kind: "json_schema", schema }, "[1]").score).toBe(1);
    expect(checkJsonSchema({ kind: "json_schema", schema }, "[1, 2]").score).toBe(0);
  });

  test("recursive_schema_is_fine", () => {
    const schema = JSON.stringify({ type: "object", properties: { next: { $ref: "#" } }, required: ["next"] });
    expect(checkJsonSchema({ kind: "json_schema", schema }, '{"next": {"next": 1}}').score).toBe(0);
  });

  test("property_names_with_slashes_and_tildes_are_told_apart", () => {
    const schema = JSON.stringify({ required: ["a/b", "c~d"], properties: { "a/b": { type: "number" } } });
    expect(checkJsonSchema({ kind: "json_schema", schema }, '{"a/b": "x", "c~d": 1}').score).toBe(0.5);
  });

  test.each([
    ["{"],
    ["[]"],
    ["null"],
    ['{"type": 3}'],
    ['{"$ref": "https://example.com/schema.json"}'],
    ['{"$ref": "#/$defs/absent"}'],
    ['{"pattern": "("}'],
    ['{"patternProperties": {"(?!a)": true}}'],
  ])("%s_is_refused", (schema) => {
    expect(() => compileSchema(schema)).toThrow(ExpressionError);
  });

  test("ids_of_one_schema_are_unknown_to_the_next", () => {
    compileSchema('{"$id": "https://example.com/a", "type": "string"}');
    compileSchema('{"$id": "https://example.com/a", "type": "number"}');
    expect(() => compileSchema('{"$ref": "https://example.com/a"}')).toThrow(ExpressionError);
  });
});

describe("program", () => {
  test("explanation_of_a_long_output_keeps_to_its_limit", () => {
    const stdout = `${"x".repeat(100_000)}\n0.5`;
    expect(scoreProgram({ ending: exit(0), stdout, stderr: "" }).explanation.length).toBe(MAX_EXPLANATION);
  });

  const exit = (code: number): ProgramEnding => ({ kind: "exit", code });

  test.each([
    [exit(0), "0.5\n", "", 0.5],
    [exit(0), "1\n\n  0.25  \n\n", "", 0.25],
    [exit(0), "7", "", 1],
    [exit(0), "-7", "", 0],
    [exit(1), "0.5", "", 0.5],
    [exit(0), "", "", 1],
    [exit(0), "0.5\nfine", "", 1],
    [exit(0), "nan", "", 1],
    [exit(2), "", "no", 0],
    [{ kind: "timeout", limitMs: 5 } as const, "1", "", 0],
    [{ kind: "memory", limitBytes: 5 } as const, "1", "", 0],
  ])("%j_with_output_%j_and_%j_scores_%d", (ending, stdout, stderr, score) => {
    expect(scoreProgram({ ending, stdout, stderr }).score).toBe(score);
  });
});

describe("agreement", () => {
  const check = { kind: "agreement", pattern: "", minAttempts: 3 } as const;

  test.each([
    ["4", ["4", "4"], 1],
    ["4", ["4", "5"], 0.5],
    ["4", [undefined, "5"], 0],
    ["4", ["4"], 0],
    [undefined, [undefined, undefined], 0],
  ])("answer_%j_among_%j_scores_%d", (answer, others, score) => {
    expect(checkAgreement(check, answer, others).score).toBe(score);
  });

  test("lone_attempt_agrees_with_nobody", () => {
    expect(checkAgreement({ ...check, minAttempts: 1 }, "4", []).score).toBe(0);
  });

  test("plain_answer_is_the_last_number_or_the_text", () => {
    expect([plainAnswer("so 1,000."), plainAnswer(" Yes,  \n indeed ")]).toEqual(["1000", "yes, indeed"]);
  });
});
