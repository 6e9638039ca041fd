import { ParameterServiceDefinition } from "@uait/gen/uait/intelligent_parameter/v1/parameter.js";
import { type Mesh, type MeshClient, millisToDuration, Status, StatusError, type WorkContext } from "@uait/kit";
import type { Posterior, Suggestion } from "../vocabulary.js";
import type { Feedback, LearnedParameters, ParameterWish } from "./ports.js";

/** The service `intelligent-parameter`. */
export class MeshParameters implements LearnedParameters {
  readonly #client: MeshClient<typeof ParameterServiceDefinition>;

  constructor(mesh: Mesh) {
    this.#client = mesh.client(ParameterServiceDefinition);
  }

  async suggest(wish: ParameterWish, from: WorkContext): Promise<readonly Suggestion[]> {
    const { taskType, candidates, count, seed, maxCostMicroUsd, maxLatencyMs } = wish;
    const maxLatency = maxLatencyMs === undefined ? undefined : millisToDuration(maxLatencyMs);
    const request = { taskType, candidates: [...candidates], count, features: {}, maxCostMicroUsd, maxLatency, seed };
    return (await this.#client.getParameters(request, { from })).suggestions;
  }

  async record(feedback: Feedback, from: WorkContext): Promise<Posterior | undefined> {
    const { requestId, taskType, parameters, reward, propensity, latencyMs, usage } = feedback;
    const latency = latencyMs === undefined ? undefined : millisToDuration(latencyMs);
    const arm = { $case: "parameters", value: parameters } as const;
    const request = { requestId, taskType, arm, reward, features: {}, latency, usage, propensity, runId: "" };
    return (await this.#client.recordFeedback(request, { from })).posterior;
  }

  async believed(taskType: string, armId: string, from: WorkContext): Promise<Posterior | undefined> {
    try {
      const { samples } = await this.#client.samplePosterior({ taskType, armIds: [armId], draws: 0 }, { from });
      return samples[0]?.posterior;
    } catch (error) {
      if (error instanceof StatusError && error.code === Status.NOT_FOUND) return undefined;
      throw error;
    }
  }
}
