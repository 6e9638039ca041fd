import { AgentSelectorServiceDefinition } from "@uait/gen/uait/agent_selector/v1/agent_selector.js";
import { type Mesh, type MeshClient, millisToDuration, type WorkContext } from "@uait/kit";
import type { AgentOutcome, Agents, AgentWish, Selection } from "./ports.js";

/** The service `agent-selector`. */
export class MeshAgents implements Agents {
  readonly #client: MeshClient<typeof AgentSelectorServiceDefinition>;

  constructor(mesh: Mesh) {
    this.#client = mesh.client(AgentSelectorServiceDefinition);
  }

  async select(wish: AgentWish, from: WorkContext): Promise<Selection> {
    const { requestId, task, taskType, agents, models, count, seed } = wish;
    const candidates = { agents: [...agents], models: [...models], skills: [] };
    const answer = await this.#client.selectAgent({ requestId, task, taskType, candidates, count, seed }, { from });
    const choices = answer.choices.flatMap(({ agent, arm, expectedScore, propensity, observations, reasons }) =>
      arm === undefined ? [] : [{ agent, arm, expectedScore, propensity, observations, why: reasons.join("; ") }],
    );
    const { selectionId, degradations } = answer;
    return { selectionId, taskType: answer.taskType, choices, degradations };
  }

  async recordOutcome(outcome: AgentOutcome, from: WorkContext): Promise<void> {
    const { requestId, selectionId, agent, armId, result, latencyMs, usage } = outcome;
    await this.#client.recordOutcome(
      {
        requestId,
        selectionId,
        agent,
        armId,
        outcome: "score" in result ? { $case: "score", value: result.score } : { $case: "failed", value: result },
        latency: millisToDuration(latencyMs),
        usage,
      },
      { from },
    );
  }
}
