import { lastNumber } from "./numeric.js";
import { type Agreement, clip, type Opinion, opinion } from "./verifier.js";

/** The answer that a text gives where no expression says which part of it that is. */
export function plainAnswer(text: string): string {
  const number = lastNumber(text);
  return number === undefined ? text.trim().replace(/\s+/gu, " ").toLowerCase() : String(number);
}

/**
 * The share of the other fresh attempts that give the same answer.
 *
 * @param answer the answer of the attempt; `undefined` where its text has none
 * @param others answers of the other fresh attempts
 */
export function checkAgreement(
  check: Agreement,
  answer: string | undefined,
  others: readonly (string | undefined)[],
): Opinion {
  if (answer === undefined) return opinion(0, "it gives no answer that the expression finds");
  const attempts = others.length + 1;
  if (attempts < check.minAttempts) return opinion(0, `${attempts} of ${check.minAttempts} attempts exist`);
  if (others.length === 0) return opinion(0, "there is no other attempt to agree with");
  const same = others.filter((other) => other === answer).length;
  return opinion(
    same / others.length,
    `${same} of ${others.length} others answer ${JSON.stringify(clip(answer, 200))}`,
  );
}
