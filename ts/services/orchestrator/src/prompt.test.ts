import { describe, expect, test } from "vitest";
import { answerIn, messagesOf, promptOf } from "./prompt.js";
import type { ScoredNode } from "./search.js";
import { NO_USAGE } from "./usage.js";
import { Role } from "./vocabulary.js";

const BRIEFING = { task: "What is 6 * 7?", instructions: "Be brief.", context: "[1] Known.", judges: ["judge"] };

const PARENT: ScoredNode = {
  nodeId: "n1",
  parentId: "root",
  action: "a",
  depth: 1,
  text: "41 {verdicts}",
  model: "m",
  score: 0.256,
  verdicts: [
    { verifier: "numeric", score: 0, explanation: "41 is not the number expected", failure: undefined },
    {
      verifier: "judge",
      score: 0,
      explanation: "",
      failure: { code: 14, reason: "", message: "", fieldViolations: [] },
    },
  ],
  usage: NO_USAGE,
  latencyMs: 1,
  searchNodeId: "",
};

const told = (messages: ReturnType<typeof messagesOf>) =>
  messages.map(({ role, parts }) => [role, parts[0]?.content?.value]);

describe("prompts", () => {
  test("fresh_attempt_is_asked_the_task_under_instructions_and_context", () => {
    expect(told(messagesOf("direct", BRIEFING, undefined))).toEqual([
      [Role.ROLE_SYSTEM, "Be brief.\n\nWhat is known:\n[1] Known."],
      [Role.ROLE_USER, "What is 6 * 7?"],
    ]);
    expect(told(messagesOf("direct", { ...BRIEFING, instructions: "", context: "" }, undefined)).length).toBe(1);
  });

  test("refinement_shows_the_attempt_and_what_was_said_of_it", () => {
    const messages = told(messagesOf("direct", BRIEFING, PARENT));
    expect(messages.slice(2)).toEqual([
      [Role.ROLE_ASSISTANT, "41 {verdicts}"],
      [
        Role.ROLE_USER,
        expect.stringContaining("scores 0.26 out of 1.\n- numeric: 0, 41 is not the number expected\nCorrect"),
      ],
    ]);
  });

  test("refinement_is_told_a_judges_score_without_its_words", () => {
    const verdicts = [{ verifier: "judge", score: 0.7, explanation: "The model says Yes.", failure: undefined }];
    const [, said] = told(messagesOf("direct", BRIEFING, { ...PARENT, verdicts })).at(-1) ?? [];
    expect(said).toContain("- judge: 0.7\n");
    expect(said).not.toContain("Yes");
  });

  test("instructions_of_the_callers_own_are_filled_in_once", () => {
    const messages = told(messagesOf("direct", BRIEFING, PARENT, "Mend <{attempt}>: {verdicts}"));
    expect(messages.at(-1)?.[1]).toBe("Mend <41 {verdicts}>: - numeric: 0, 41 is not the number expected");
    expect(messages.map(([role]) => role)).not.toContain(Role.ROLE_ASSISTANT);
  });

  test("program_is_told_the_same_in_one_text", () => {
    const text = promptOf(BRIEFING, PARENT);
    for (const part of ["Be brief.", "What is 6 * 7?", "41 {verdicts}", "41 is not the number expected"]) {
      expect(text).toContain(part);
    }
  });

  test.each([
    ["Six sevens are 42.\nAnswer: 42", "42"],
    ["Answer: 1\nNo.\n**Final answer:** 2", "2"],
    ["answer : yes\n", "yes"],
    ["It is a colour.\nThe answer is: Red", "Red"],
    ["I do not know.", "I do not know."],
    ["Answer:", "Answer:"],
  ])("reasoners_answer_in_%j_is_%j", (text, answer) => {
    expect(answerIn("reasoner", text)).toBe(answer);
    expect(answerIn("direct", text)).toBe(text);
  });
});
