import {
  Detail,
  type OrchestratorServiceDefinition,
  RunRequest,
  type RunResponse,
} from "@uait/gen/uait/orchestrator/v1/orchestrator.js";
import type { MeshCallOptions, MeshClient } from "@uait/kit";
import { type ChatRequest, joined, type Message, ORCHESTRATOR_MODEL } from "./chat-request.js";
import type { CompletionEvent } from "./completion.js";
import { BadRequest } from "./error.js";
import { constraintOf, samplingOf, usageOf } from "./router-completion.js";

/** Attempts that a run may make for a reasoning effort; `medium` is what it may without one. */
const NODES_OF_EFFORT = { minimal: 1, low: 4, medium: 16, high: 64 } as const;

/** Answers a request by a run of the orchestrator. @throws BadRequest, StatusError */
export async function* orchestratorCompletion(
  orchestrator: MeshClient<typeof OrchestratorServiceDefinition>,
  { request, requestId }: { readonly request: ChatRequest; readonly requestId: string },
  from: NonNullable<MeshCallOptions["from"]>,
): AsyncGenerator<CompletionEvent> {
  for await (const { event } of orchestrator.run(runRequest(request, requestId), { from })) {
    if (event === undefined) continue;
    if (event.$case !== "answer") {
      yield { kind: "progress", what: progressOf(event) };
      continue;
    }
    const { text, usage } = event.value;
    if (text !== "") yield { kind: "text", text, logprobs: [] };
    yield { kind: "end", finishReason: "stop", usage: usageOf(usage) };
  }
}

/** What the orchestrator is asked for a body. @throws BadRequest for what a run has not */
export function runRequest(request: ChatRequest, requestId: string): RunRequest {
  for (const field of ["tools", "tool_choice", "logprobs", "top_logprobs"] as const) {
    const value = request[field];
    const asked =
      value !== null && value !== undefined && value !== false && !(Array.isArray(value) && value.length === 0);
    if (asked)
      throw new BadRequest(`${field} is not supported by ${ORCHESTRATOR_MODEL}`, field, "unsupported_parameter");
  }
  const { reasoning_effort: effort } = request;
  const system = request.messages.flatMap((message) =>
    message.role === "system" || message.role === "developer" ? [joined(message.content)] : [],
  );
  return RunRequest.fromPartial({
    requestId,
    task: taskOf(request.messages),
    instructions: system.join("\n\n"),
    output: constraintOf(request),
    sampling: samplingOf(request),
    detail: Detail.DETAIL_NODES,
    ...(effort ? { budget: { maxNodes: NODES_OF_EFFORT[effort] } } : {}),
  });
}

// A run has one task: a conversation becomes its transcript, whose last turn is what is asked.
function taskOf(messages: readonly Message[]): string {
  const turns = messages.flatMap((message) => {
    switch (message.role) {
      case "user":
        return [{ who: "User", said: userText(message.content) }];
      case "assistant":
        return [{ who: "Assistant", said: joined(message.content ?? "") }];
      case "tool":
        throw new BadRequest(`messages of tools are not supported by ${ORCHESTRATOR_MODEL}`, "messages");
      default:
        return [];
    }
  });
  const [only, ...rest] = turns;
  if (only === undefined) throw new BadRequest("messages has no turn of the user", "messages");
  return rest.length === 0 ? only.said : turns.map(({ who, said }) => `${who}: ${said}`).join("\n\n");
}

function userText(content: Extract<Message, { role: "user" }>["content"]): string {
  if (typeof content === "string") return content;
  return content
    .map((part) => {
      if (part.type === "text") return part.text;
      throw new BadRequest(`images are not supported by ${ORCHESTRATOR_MODEL}`, "messages");
    })
    .join("");
}

function progressOf(event: Exclude<NonNullable<RunResponse["event"]>, { $case: "answer" }>): string {
  switch (event.$case) {
    case "node":
      return `attempt ${event.value.nodeId} began`;
    case "score":
      return `attempt ${event.value.nodeId} scored ${event.value.score.toFixed(3)}`;
    case "nodeFailed":
      return `attempt ${event.value.nodeId} failed`;
    default:
      return event.$case;
  }
}
