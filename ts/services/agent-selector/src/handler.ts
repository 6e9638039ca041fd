import type {
  AgentSelectorServiceImplementation,
  RecordOutcomeRequest,
} from "@uait/gen/uait/agent_selector/v1/agent_selector.js";
import { durationToMillis, type Idempotency, millisToDuration, type ServerCallContext } from "@uait/kit";
import { AGENTS } from "./agent.js";
import type { Executor } from "./execution.js";
import type { Learning } from "./learning.js";
import type { Outcome } from "./outcome.js";
import type { Selector } from "./selector.js";

export interface HandlerOptions {
  readonly selector: Selector;
  readonly executor: Executor;
  readonly learning: Learning;
  readonly idempotency: Idempotency;
}

const SERVICE = "uait.agent_selector.v1.AgentSelectorService";

/** The handlers of AgentSelectorService. */
export function createHandler(options: HandlerOptions): AgentSelectorServiceImplementation<ServerCallContext> {
  const { selector, executor, learning, idempotency } = options;
  return {
    async selectAgent(request, context) {
      const { task, taskType, candidates: wanted, count, seed } = request;
      const wish = { task, taskType, agents: AGENTS, wanted, freeOnly: false, count: count || 1, seed, notes: [] };
      return await idempotency.run({ rpc: `${SERVICE}/SelectAgent`, request, from: context }, async (from) => {
        const { choices, degradations, ...rest } = await selector.select(wish, from);
        return { ...rest, choices: [...choices], degradations: [...degradations] };
      });
    },

    async executeWithBestAgent(request, context) {
      const { requestId, task, taskType, candidates: wanted, output, budget } = request;
      const order = { requestId, task, taskType, wanted, output, budget };
      return await idempotency.run({ rpc: `${SERVICE}/ExecuteWithBestAgent`, request, from: context }, async (from) => {
        const { elapsedMs, degradations, ...rest } = await executor.execute(order, from);
        return { ...rest, elapsed: millisToDuration(elapsedMs), degradations: [...degradations] };
      });
    },

    async recordOutcome(request, context) {
      const { requestId, selectionId, agent, armId, latency, usage } = request;
      const latencyMs = latency === undefined ? undefined : durationToMillis(latency);
      const report = { requestId, selectionId, agent, armId, outcome: outcomeOf(request), latencyMs, usage };
      return await idempotency.run({ rpc: `${SERVICE}/RecordOutcome`, request, from: context }, async (from) => ({
        posterior: await learning.record(report, from),
      }));
    },
  };
}

function outcomeOf({ outcome }: RecordOutcomeRequest): Outcome {
  switch (outcome?.$case) {
    case "score":
      return { score: outcome.value };
    case "failed":
      return { code: outcome.value.code };
    case undefined:
      throw new TypeError("an outcome is required by the contract's rules");
  }
}
