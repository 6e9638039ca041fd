import { askBy, type ModelPrompt } from "@uait/kit";
import type { ScoredNode } from "./search.js";
import { type ChatMessage, Role, type Verdict } from "./vocabulary.js";

/** What a model is told beside the attempt that it refines. */
export interface Briefing {
  readonly task: string;
  /** Instructions that stand above the task; empty for none. */
  readonly instructions: string;
  /** What is known; empty for nothing. */
  readonly context: string;
  /**
   * Names of the verifiers whose words say how a score came about. They are no advice: a refinement that repeats them
   * pleases the judge who said them.
   */
  readonly judges: readonly string[];
}

export { answerIn, MODEL_PROMPTS, type ModelPrompt } from "@uait/kit";

/** Instructions for refining an attempt, with `{attempt}`, `{score}` and `{verdicts}` to be filled in. */
export const REFINEMENT = `That answer scores {score} out of 1.
{verdicts}
Correct what is wrong and answer again. Write only the new answer.`;

/** The conversation for an attempt: the task, and for a refinement the earlier attempt with what was said of it. */
export function messagesOf(
  prompt: ModelPrompt,
  briefing: Briefing,
  parent: ScoredNode | undefined,
  refinement = REFINEMENT,
): ChatMessage[] {
  const system = [briefing.instructions, briefing.context === "" ? "" : `What is known:\n${briefing.context}`]
    .filter((part) => part !== "")
    .join("\n\n");
  const conversation = [message(Role.ROLE_USER, askBy(prompt, briefing.task))];
  if (system !== "") conversation.unshift(message(Role.ROLE_SYSTEM, system));
  if (parent === undefined) return conversation;
  // Where the instructions quote the attempt themselves, the model need not read it twice.
  if (!refinement.includes("{attempt}")) conversation.push(message(Role.ROLE_ASSISTANT, parent.text));
  conversation.push(message(Role.ROLE_USER, askBy(prompt, fill(refinement, parent, briefing.judges))));
  return conversation;
}

/** The same as one text, for a program that takes no conversation. */
export function promptOf(
  { instructions, task, judges }: Briefing,
  parent: ScoredNode | undefined,
  refinement = REFINEMENT,
): string {
  const parts = [instructions, task];
  if (parent !== undefined) {
    if (!refinement.includes("{attempt}")) parts.push(`An earlier answer was:\n${parent.text}`);
    parts.push(fill(refinement, parent, judges));
  }
  return parts.filter((part) => part !== "").join("\n\n");
}

/** What the verifiers said of an attempt, a line each; of judges the score alone. */
function describeVerdicts(verdicts: readonly Verdict[], judges: readonly string[]): string {
  return verdicts
    .filter(({ failure }) => failure === undefined)
    .map(({ verifier, score, explanation }) => {
      const advice = judges.includes(verifier) || explanation === "" ? "" : `, ${explanation}`;
      return `- ${verifier}: ${shown(score)}${advice}`;
    })
    .join("\n");
}

function fill(template: string, { text, score, verdicts }: ScoredNode, judges: readonly string[]): string {
  const values: Readonly<Record<string, string>> = {
    "{attempt}": text,
    "{score}": shown(score),
    "{verdicts}": describeVerdicts(verdicts, judges),
  };
  // In one pass, so that what an attempt says is not filled in again.
  return template.replace(/\{(?:attempt|score|verdicts)\}/gu, (place) => values[place] ?? place);
}

function shown(score: number): string {
  return String(Math.round(score * 100) / 100);
}

function message(role: Role, text: string): ChatMessage {
  return { role, parts: [{ content: { $case: "text", value: text } }], name: "" };
}
