import { LlmRouterServiceDefinition, type Model, type Route } from "@uait/gen/uait/llm_router/v1/llm_router.js";
import { type Mesh, type MeshClient, Status, StatusError, type WorkContext } from "@uait/kit";
import type { CandidateModel } from "../candidate.js";
import { NO_USAGE } from "../usage.js";
import { FinishReason, type Usage } from "../vocabulary.js";
import type { ModelAnswer, ModelCall, ModelProgress, Models } from "./ports.js";

const PAGE_SIZE = 1000;

/** The service `llm-router`. */
export class MeshModels implements Models {
  readonly #client: MeshClient<typeof LlmRouterServiceDefinition>;

  constructor(mesh: Mesh) {
    this.#client = mesh.client(LlmRouterServiceDefinition);
  }

  async available(from: WorkContext): Promise<readonly CandidateModel[]> {
    const found: CandidateModel[] = [];
    let pageToken = "";
    do {
      const request = { capabilities: [], pageSize: PAGE_SIZE, pageToken };
      const { models, nextPageToken } = await this.#client.listModels(request, { from });
      for (const model of models) if (model.available) found.push({ name: model.name, free: isFree(model) });
      pageToken = nextPageToken;
    } while (pageToken !== "");
    return found;
  }

  async generate(call: ModelCall, progress: ModelProgress, from: WorkContext): Promise<ModelAnswer> {
    const { messages, constraint, maxOutputTokens, taskType, agent } = call;
    const sampling = maxOutputTokens === undefined ? undefined : { stop: [], maxOutputTokens };
    const attribution = { runId: "", nodeId: "", taskType, agent };
    const stream = this.#client.generate(
      { messages: [...messages], tools: [], sampling, constraint, logprobs: 0, route: routeOf(call), attribution },
      { from },
    );
    let text = "";
    let usage: Usage | undefined;
    for await (const { event } of stream) {
      if (event?.$case === "delta") {
        text += event.value.text;
        progress.outputTokens += event.value.tokens;
      } else if (event?.$case === "end") {
        if (event.value.finishReason === FinishReason.FINISH_REASON_REFUSED) throw refused(call.model);
        usage = event.value.usage ?? { ...NO_USAGE, outputTokens: BigInt(progress.outputTokens), calls: 1 };
      }
    }
    if (usage === undefined) throw cutOff(call.model);
    return { text, usage };
  }
}

function routeOf({ model }: ModelCall): Route | undefined {
  return model === "" ? undefined : { target: { $case: "model", value: model }, fallbacks: [] };
}

function isFree({ price }: Model): boolean {
  return price === undefined || (price.inputMicroUsd === 0n && price.outputMicroUsd === 0n);
}

function refused(model: string): StatusError {
  return StatusError.of({
    code: Status.UNAVAILABLE,
    reason: "UPSTREAM_FAILED",
    message: `the content filter of ${model || "the model"} ended the answer`,
    metadata: { upstream: model, status: "refused" },
  });
}

function cutOff(model: string): StatusError {
  return StatusError.of({
    code: Status.UNAVAILABLE,
    reason: "UPSTREAM_FAILED",
    message: `the answer of ${model || "the model"} ended before its end`,
    metadata: { upstream: model, status: "cut off" },
  });
}
