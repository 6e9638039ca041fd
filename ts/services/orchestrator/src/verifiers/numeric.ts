import { type Numeric, type Opinion, opinion } from "./verifier.js";

// A sign after a word character or a closing bracket is a dash or a minus between two numbers, not part of one.
const NUMBER = /(?:(?<![\w)\]])[-+\u2212])?(?:(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d+)?/gu;

/** The last number in a text; thousands may be set apart by commas. `undefined` where there is none. */
export function lastNumber(text: string): number | undefined {
  let last: string | undefined;
  for (const [match] of text.matchAll(NUMBER)) last = match;
  if (last === undefined) return undefined;
  const value = Number(last.replaceAll(",", "").replace("\u2212", "-"));
  return Number.isFinite(value) ? value : undefined;
}

/** Closeness of the last number in the text. What is expected is not said, since refinements are shown the verdict. */
export function checkNumeric(check: Numeric, text: string): Opinion {
  const found = lastNumber(text);
  if (found === undefined) return opinion(0, "there is no number in it");
  const { expected, absoluteTolerance, relativeTolerance } = check;
  const tolerance = Math.max(absoluteTolerance, relativeTolerance * Math.abs(expected));
  const difference = Math.abs(found - expected);
  return difference <= tolerance ? opinion(1, `${found} is right`) : opinion(0, `${found} is not the number expected`);
}
