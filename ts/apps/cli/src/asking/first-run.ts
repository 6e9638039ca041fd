import type { Answer } from "@uait/gen/uait/orchestrator/v1/run.js";
import type { Context } from "../context.js";
import { built } from "../layout.js";
import { ask } from "./ask.js";

/** Services without which no task can be run. */
const NEEDED = ["orchestrator", "llm-router", "ml-inference"] as const;

/** Names of the services that a Run needs and that have no process in this mesh. */
export function missingForRuns({ mesh }: Context): string[] {
  const there = new Set(built(mesh).map(({ service }) => service.name));
  return NEEDED.filter((name) => !there.has(name));
}

/** A task that a model answers and a verifier scores: the whole way, once. */
export async function firstRun(context: Context, note: (text: string) => void): Promise<Answer> {
  const question = {
    task: "What is 7 + 5? Answer with the number alone.",
    taskType: "arithmetic",
    verifiers: [{ kind: { $case: "numeric" as const, value: { expected: 12 } } }],
    sampling: { maxOutputTokens: 24 },
    budget: { maxNodes: 8 },
  };
  let attempts = 0;
  return await ask(context, question, ({ $case }) => {
    if ($case === "score") note(`${++attempts} attempts`);
  });
}
