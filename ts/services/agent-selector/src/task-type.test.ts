import { expect, test } from "vitest";
import { classifyTask } from "./task-type.js";

const TASKS: [string, string][] = [
  ["What is 17 * 23?", "arithmetic"],
  ["Calculate the area of a circle with radius 4.", "arithmetic"],
  ["Anna has 12 apples and gives away 5. How many are left?", "arithmetic"],
  ["Write a Python function that reverses a list.", "code"],
  ["Fix the bug in this code:\n```\ndef f(x): return x +\n```", "code"],
  ["Write a SQL query that counts orders per customer.", "code"],
  ["Extract the invoice number, date and total from this document as JSON.", "extraction"],
  ["List all e-mail addresses in the following text.", "extraction"],
  ["Classify this review as positive, negative or neutral.", "classification"],
  ["Is this message spam or not spam?", "classification"],
  ["Write a short poem about autumn.", "writing"],
  ["Summarize the following article in 50 words.", "writing"],
  ["Draft a polite e-mail that declines an invitation.", "writing"],
  ["What is the capital of France?", "general"],
  ["Tell me about the history of Rome.", "general"],
  ["", "general"],
];

test.for(TASKS)("task %j is %s", ([task, type]) => {
  expect(classifyTask(task)).toBe(type);
});

test("task_whose_instruction_stands_after_much_material_is_found", () => {
  expect(classifyTask(`${"Lorem ipsum dolor sit amet. ".repeat(5000)}\nTranslate this.`)).toBe("writing");
});

test("task_is_read_at_its_beginning_and_its_end_only", () => {
  const filler = "Lorem ipsum dolor sit amet. ".repeat(5000);
  expect(classifyTask(`${filler}\nTranslate this.\n${filler}`)).toBe("general");
});
