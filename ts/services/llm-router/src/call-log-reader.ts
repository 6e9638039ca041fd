import type { Event } from "@uait/gen/uait/event/v1/event.js";
import { type EventLog, Status } from "@uait/kit";
import { EVENT_AREA } from "./call-event.js";
import type { LoggedCall } from "./usage.js";

// A caller who went, or had no more time, is no failure of a model.
const CALLERS_OWN: ReadonlySet<number> = new Set<number>([Status.CANCELLED, Status.DEADLINE_EXCEEDED]);

/** The tenant's calls that ended since a moment, by the event log. @throws StatusError DEPENDENCY_UNAVAILABLE */
export async function* readCalls(
  events: Pick<EventLog, "read">,
  options: { readonly tenant: string; readonly since: Date; readonly signal: AbortSignal },
): AsyncGenerator<LoggedCall> {
  for await (const event of events.read({ ...options, area: EVENT_AREA, event: "model_call_finished" })) {
    const call = loggedCall(event);
    if (call !== undefined) yield call;
  }
}

function loggedCall({ time, traceparent, payload }: Event): LoggedCall | undefined {
  if (payload?.$case !== "modelCallFinished" || time === undefined) return undefined;
  const { model, upstream, taskType, agent, subject, runId, nodeId, usage, attempt, failure } = payload.value;
  // One trace may hold many requests, but a node of a run has one at a time.
  const request = [traceparent.split("-")[1] ?? "", runId, nodeId, taskType, agent, subject].join(" ");
  return {
    atMs: time.getTime(),
    dimensions: { model, upstream, task_type: taskType, agent, subject, run: runId },
    spent: {
      inputTokens: Number(usage?.inputTokens ?? 0n),
      cachedInputTokens: Number(usage?.cachedInputTokens ?? 0n),
      outputTokens: Number(usage?.outputTokens ?? 0n),
      reasoningTokens: Number(usage?.reasoningTokens ?? 0n),
      calls: usage?.calls ?? 0,
      costMicroUsd: Number(usage?.costMicroUsd ?? 0n),
    },
    attempt,
    failed: failure !== undefined && !CALLERS_OWN.has(failure.code),
    request,
  };
}
