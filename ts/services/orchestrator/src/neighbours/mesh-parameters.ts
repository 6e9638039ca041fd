import { ParameterServiceDefinition } from "@uait/gen/uait/intelligent_parameter/v1/parameter.js";
import type { Mesh, MeshClient, WorkContext } from "@uait/kit";
import type { ParameterFeedback, Parameters } from "./ports.js";

/** The service `intelligent-parameter`. */
export class MeshParameters implements Parameters {
  readonly #client: MeshClient<typeof ParameterServiceDefinition>;

  constructor(mesh: Mesh) {
    this.#client = mesh.client(ParameterServiceDefinition);
  }

  async recordFeedback(feedback: ParameterFeedback, from: WorkContext): Promise<void> {
    const { requestId, taskType, arm, reward, runId } = feedback;
    await this.#client.recordFeedback(
      { requestId, taskType, arm: { $case: "armId", value: arm.armId }, reward, features: {}, runId },
      { from },
    );
  }
}
