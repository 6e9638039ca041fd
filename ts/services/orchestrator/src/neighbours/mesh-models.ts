import { LlmRouterServiceDefinition, type Route, Route_Requirements } from "@uait/gen/uait/llm_router/v1/llm_router.js";
import type { Mesh, MeshClient, WorkContext } from "@uait/kit";
import { NO_USAGE } from "../usage.js";
import type { ModelCall, ModelEvent, Models } from "./ports.js";

/** Most that `Requirements.max_cost_micro_usd` can say. */
const LARGEST_COST = 1_000_000_000n;

/** The service `llm-router`. */
export class MeshModels implements Models {
  readonly #client: MeshClient<typeof LlmRouterServiceDefinition>;

  constructor(mesh: Mesh) {
    this.#client = mesh.client(LlmRouterServiceDefinition);
  }

  async *generate(call: ModelCall, from: WorkContext): AsyncGenerator<ModelEvent, void, undefined> {
    const { messages, sampling, constraint, runId, nodeId, taskType, agent } = call;
    const attribution = { runId, nodeId, taskType, agent };
    const request = { messages, tools: [], sampling, constraint, logprobs: 0, route: routeOf(call), attribution };
    for await (const { event } of this.#client.generate(request, { from })) {
      switch (event?.$case) {
        case "routed":
          yield { kind: "routed", model: event.value.model, degradation: event.value.degradation };
          break;
        case "delta":
          yield { kind: "delta", text: event.value.text, tokens: event.value.tokens };
          break;
        case "end":
          yield { kind: "end", usage: event.value.usage ?? NO_USAGE };
          break;
      }
    }
  }
}

function routeOf({ model, maxCostMicroUsd }: ModelCall): Route | undefined {
  if (model !== "") return { target: { $case: "model", value: model }, fallbacks: [] };
  if (maxCostMicroUsd === undefined || maxCostMicroUsd > LARGEST_COST) return undefined;
  const value = Route_Requirements.fromPartial({ maxCostMicroUsd });
  return { target: { $case: "requirements", value }, fallbacks: [] };
}
