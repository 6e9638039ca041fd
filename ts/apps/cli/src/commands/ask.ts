import type { Context } from "../context.js";
import { Failure } from "../failure.js";

/** Attempts of one question, and the tokens of each: a small model that rambles would otherwise hold a person up. */
const MAX_NODES = 8;
const MAX_OUTPUT_TOKENS = 256;

/**
 * Runs a task and shows the tree as it grows, then the answer with its figures.
 *
 * @throws Failure `USAGE` without a question; `NOT_RUNNING` without a mesh; `UNHEALTHY` when the run fails
 */
export async function askQuestion(context: Context, question: string | undefined): Promise<void> {
  if (question === undefined || question.trim() === "") {
    throw new Failure({ reason: "USAGE", message: "there is no question", remedy: 'make ask Q="What is 6 times 7?"' });
  }
  // The stubs that these import exist only after generation.
  const [{ ask }, { viewOn }, { answerLines }] = await Promise.all([
    import("../asking/ask.js"),
    import("../asking/view.js"),
    import("../asking/report.js"),
  ]);
  const view = viewOn(process.stdout, () => performance.now());
  const answer = await ask(
    context,
    {
      task: question,
      budget: { maxNodes: MAX_NODES },
      sampling: { maxOutputTokens: MAX_OUTPUT_TOKENS },
    },
    (event) => view.show(event),
  ).finally(() => view.end());
  for (const line of answerLines(answer, context.mesh)) context.progress.say(`  ${line}`);
}
