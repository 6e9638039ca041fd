import { RE2JS } from "re2js";
import { ExpressionError } from "./expression-error.js";
import { type Opinion, opinion, type Regex } from "./verifier.js";

/** An RE2 expression, which runs in time linear in the text. @throws ExpressionError */
export function compileRegex(pattern: string): RE2JS {
  try {
    return RE2JS.compile(pattern);
  } catch (error) {
    throw new ExpressionError("regular expression", error instanceof Error ? error.message : String(error));
  }
}

/** Whether the expression matches. @throws ExpressionError */
export function checkRegex({ pattern, full }: Regex, text: string): Opinion {
  const expression = compileRegex(pattern);
  const matches = full ? expression.testExact(text) : expression.test(text);
  return matches ? opinion(1, "it matches") : opinion(0, `it does not match ${pattern}`);
}

/** The first group of the first match, or the match where there is no group; `undefined` without a match. */
export function extract(pattern: string, text: string): string | undefined {
  const matcher = compileRegex(pattern).matcher(text);
  if (!matcher.find()) return undefined;
  return (matcher.groupCount() > 0 ? matcher.group(1) : matcher.group()) ?? undefined;
}
