import { expect, test } from "vitest";
import { answerIn, askBy } from "./agent-prompt.js";

test("reasoner_is_asked_to_think_and_direct_is_asked_as_it_is", () => {
  expect(askBy("direct", "Why?")).toBe("Why?");
  expect(askBy("reasoner", "Why?")).toMatch(/^Why\?\n\nThink first/u);
});

test("answer_of_a_reasoner_is_what_follows_its_last_marker", () => {
  expect(answerIn("reasoner", "Answer: maybe 3.\nNo.\n**Final answer:** 4\n")).toBe("4");
  expect(answerIn("reasoner", "It is 4.")).toBe("It is 4.");
  expect(answerIn("reasoner", "It is 4.\nAnswer:")).toBe("It is 4.\nAnswer:");
  expect(answerIn("direct", "Answer: 4")).toBe("Answer: 4");
});
