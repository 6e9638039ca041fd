// Patterns come from our own contracts, which `buf lint` and a test keep to linear-time syntax, so V8's engine is safe
// here; the library's RE2 in JavaScript takes several times the processor time for the same answers.
const patterns = new Map<string, RegExp>();

/** Whether a string matches a pattern of a contract. */
export function matches(pattern: string, against: string): boolean {
  return compiled(pattern).test(against);
}

/** The pattern as a regular expression, made once. */
export function compiled(pattern: string): RegExp {
  let regExp = patterns.get(pattern);
  if (regExp === undefined) {
    regExp = new RegExp(pattern, "u");
    patterns.set(pattern, regExp);
  }
  return regExp;
}
