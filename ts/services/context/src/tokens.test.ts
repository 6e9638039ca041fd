import { expect, test } from "vitest";
import { estimateTokens } from "./tokens.js";

// Counts by the tokenizer in SmolLM2-135M-Instruct.Q4_1.gguf.
test.each([
  ["The quick brown fox jumps over the lazy dog.", 10],
  ["const total = items.reduce((sum, item) => sum + item.price, 0);", 21],
  ['{"invoice": "2026-0042", "amount": 1234.5, "currency": "EUR"}', 33],
  ["the invoice was paid on 2026-11-03 by bank transfer", 19],
])("estimate_of_%j_is_within_a_fifth_of_the_tokenizer", (text, tokens) => {
  expect(Math.abs(estimateTokens(text) - tokens)).toBeLessThanOrEqual(0.2 * tokens);
});

test("estimate_of_nothing_is_nothing", () => {
  expect(estimateTokens("")).toBe(0);
});

test("estimates_of_texts_joined_by_line_ends_add_up", () => {
  const texts = ["The end", "  of it, said she: 42!!", "größer 政府 🎉"];
  const whole = estimateTokens(texts.join("\n"));
  const parts = texts.reduce((sum, text) => sum + estimateTokens(text), 0) + texts.length - 1;
  expect(whole).toBeLessThanOrEqual(parts);
  expect(whole).toBeGreaterThan(parts - texts.length);
});
