/** Names of the built-in prompts that ask a model itself; agents and arms name them (`ParameterSet.prompt`). */
export const MODEL_PROMPTS = ["direct", "reasoner"] as const;
export type ModelPrompt = (typeof MODEL_PROMPTS)[number];

const REASONING = `Think first, in a few short sentences. Then write the answer, and nothing else, on the last line after "Answer:".`;
const MARKER = /^[ \t*_#]*(?:the )?(?:final )?answer(?: is)?[ \t*_]*:[ \t*_]*/gimu;

/** What a model is asked under a prompt. */
export function askBy(prompt: ModelPrompt, request: string): string {
  return prompt === "reasoner" ? `${request}\n\n${REASONING}` : request;
}

/** The answer within what a model wrote: of a reasoner, what stands after the last "Answer:". */
export function answerIn(prompt: ModelPrompt, text: string): string {
  if (prompt !== "reasoner") return text;
  let end: number | undefined;
  for (const match of text.matchAll(MARKER)) end = match.index + match[0].length;
  const answer = end === undefined ? "" : text.slice(end).trim();
  return answer === "" ? text : answer;
}
