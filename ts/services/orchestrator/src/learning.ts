import { createHash } from "node:crypto";
import { setMaxListeners } from "node:events";
import type { Logger, WorkContext } from "@uait/kit";
import type { Action } from "./action.js";
import type { Neighbours } from "./neighbours/ports.js";
import type { RunJob } from "./run-job.js";
import type { SearchResult } from "./search.js";
import type { Answer } from "./vocabulary.js";

export interface Lesson {
  readonly job: RunJob;
  readonly taskType: string;
  /** Empty when nobody wants to hear of the outcome. */
  readonly selectionId: string;
  readonly result: SearchResult;
  readonly actions: ReadonlyMap<string, Action>;
  readonly answer: Answer;
  readonly neighbours: Neighbours;
  readonly from: WorkContext;
  readonly timeoutMs: number;
  /** Unix time in milliseconds. */
  readonly now: () => number;
  readonly log: Logger;
}

/** Least score of an answer that is worth remembering: what is likelier wrong than right would mislead later runs. */
const WORTH_REMEMBERING = 0.5;
const CANCELLED = 1;

/** Tells the neighbours how a run went, after its answer: none of it holds the answer up, and none of it fails the run. */
export async function learn(lesson: Lesson): Promise<void> {
  const { from, now, timeoutMs, log, job } = lesson;
  const { signal } = new AbortController();
  // As many calls listen to it as there were attempts.
  setMaxListeners(0, signal);
  const work: WorkContext = { ...from, signal, deadlineMs: now() + timeoutMs };
  const told = await Promise.allSettled([...outcomes(lesson, work), ...notes(lesson, work)]);
  const lost = told.filter(({ status }) => status === "rejected");
  if (lost.length > 0) log.warn("what a run taught was not heard by all", { run: job.runId, lost: lost.length });
}

function outcomes({ selectionId, result, actions, neighbours }: Lesson, work: WorkContext): Promise<void>[] {
  if (selectionId === "") return [];
  const attempts = [
    ...result.nodes.map((node) => ({ node, outcome: { score: node.score } })),
    ...result.failures
      // What the end of the search cut off says nothing of its agent.
      .filter(({ failure }) => failure.code !== CANCELLED)
      .map((node) => ({ node, outcome: { code: node.failure.code, reason: node.failure.reason } })),
  ];
  return attempts.flatMap(({ node, outcome }) => {
    const action = actions.get(node.action);
    if (action === undefined) return [];
    const { agent, arm } = action.choice;
    const { latencyMs, usage, nodeId } = node;
    const requestId = shortId(`${selectionId}/${nodeId}`);
    return neighbours.agents.recordOutcome(
      { requestId, selectionId, agent, armId: arm.armId, result: outcome, latencyMs, usage },
      work,
    );
  });
}

function notes({ job, taskType, answer, neighbours }: Lesson, work: WorkContext): Promise<void>[] {
  if (job.forgotten || answer.score < WORTH_REMEMBERING || answer.text === "") return [];
  const text = `Task: ${job.task}\nAnswer: ${answer.text}`;
  const { runId } = job;
  return [
    neighbours.knowledge.store({ kind: "answer", requestId: runId, runId, text, taskType, score: answer.score }, work),
  ];
}

/** An id of the form that requests have, from any text. */
export function shortId(text: string): string {
  return createHash("sha256").update(text).digest("base64url").slice(0, 32);
}
