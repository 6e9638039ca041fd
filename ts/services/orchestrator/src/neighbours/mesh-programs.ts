import { DspyServiceDefinition } from "@uait/gen/uait/dspy/v1/dspy.js";
import type { Mesh, MeshClient, WorkContext } from "@uait/kit";
import { NO_USAGE } from "../usage.js";
import type { Prediction, ProgramCall, Programs } from "./ports.js";

/** The service `dspy`. */
export class MeshPrograms implements Programs {
  readonly #client: MeshClient<typeof DspyServiceDefinition>;

  constructor(mesh: Mesh) {
    this.#client = mesh.client(DspyServiceDefinition);
  }

  async find(program: string, from: WorkContext): Promise<void> {
    await this.#client.getProgram({ program }, { from });
  }

  async predict({ requestId, program, inputs, model, sampling }: ProgramCall, from: WorkContext): Promise<Prediction> {
    const answer = await this.#client.predict(
      { requestId, program, version: 0, inputs: { ...inputs }, model, sampling },
      { from },
    );
    const { outputs = {}, reasoning, usage = NO_USAGE } = answer;
    return { outputs, reasoning, model: answer.model, usage };
  }
}
