import type { DspyOrchestratorServiceImplementation } from "@uait/gen/uait/orchestrator/v1/dspy_orchestrator.js";
import type { ServerCallContext } from "@uait/kit";
import { OrchestratorError } from "./error.js";

/** The handlers of DspyOrchestratorService: part of the contract, and not of this build. */
export function createDspyHandler(): DspyOrchestratorServiceImplementation<ServerCallContext> {
  return {
    orchestrate: () =>
      refuse(
        "DspyOrchestratorService.Orchestrate",
        "no program plans, acts and checks yet; Run with agents: [dspy] answers by one",
      ),
    extractKnowledge: () => refuse("DspyOrchestratorService.ExtractKnowledge", "no program extracts statements yet"),
    optimizePrompt: () => refuse("DspyOrchestratorService.OptimizePrompt", "programs are not compiled here yet"),
    coordinateAgents: () => refuse("DspyOrchestratorService.CoordinateAgents", "agent-coordination has no process yet"),
  };
}

function refuse(what: string, why: string): never {
  throw new OrchestratorError({ kind: "not_implemented", what, why });
}
