import { clip, type Exact, type Opinion, opinion } from "./verifier.js";

/** Equality with one of the texts expected. What is expected is not said, since refinements are shown the verdict. */
export function checkExact(check: Exact, text: string): Opinion {
  const found = normalize(check, text);
  const right = check.expected.some((expected) => normalize(check, expected) === found);
  return right ? opinion(1, "as expected") : opinion(0, `${JSON.stringify(clip(text, 200))} is not what is expected`);
}

function normalize({ ignoreCase, keepSpace }: Exact, text: string): string {
  const spaced = keepSpace ? text : text.trim().replace(/\s+/gu, " ");
  // Upper case first: it unfolds what has more than one lower case, such as ß and the two sigmas.
  return ignoreCase ? spaced.toUpperCase().toLowerCase() : spaced;
}
