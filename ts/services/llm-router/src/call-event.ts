import type { Failure } from "@uait/gen/uait/types/v1/failure.js";
import type { Usage } from "@uait/gen/uait/types/v1/usage.js";
import { type EventPayload, millisToDuration, type StatusError } from "@uait/kit";
import type { Spent } from "./budget.js";
import { FinishReason } from "./generation.js";
import type { FinishedCall } from "./router.js";

/** Area of the event log that the router publishes to. */
export const EVENT_AREA = "llm";

/** The event `model_call_finished` of a call. */
export function toEvent(call: FinishedCall, subject: string): EventPayload {
  const { model, attribution, attempt, spent, timeToFirstTokenMs, elapsedMs, finishReason, error, generation } = call;
  return {
    $case: "modelCallFinished",
    value: {
      model: model.name,
      upstream: model.upstream,
      ...attribution,
      subject,
      attempt,
      sampling: generation.sampling,
      usage: toUsage(spent),
      timeToFirstToken: timeToFirstTokenMs === undefined ? undefined : millisToDuration(timeToFirstTokenMs),
      elapsed: millisToDuration(elapsedMs),
      finishReason: finishReason ?? FinishReason.FINISH_REASON_UNSPECIFIED,
      failure: error && toFailure(error),
    },
  };
}

export function toUsage(spent: Spent): Usage {
  return {
    inputTokens: BigInt(spent.inputTokens),
    cachedInputTokens: BigInt(spent.cachedInputTokens),
    outputTokens: BigInt(spent.outputTokens),
    reasoningTokens: BigInt(spent.reasoningTokens),
    calls: spent.calls,
    costMicroUsd: BigInt(spent.costMicroUsd),
  };
}

export function toFailure({ code, reason, message, violations }: StatusError): Failure {
  return { code, reason, message, fieldViolations: [...violations] };
}
