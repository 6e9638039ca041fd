import type { Mesh } from "@uait/kit";
import { MeshAgents } from "./mesh-agents.js";
import { MeshKnowledge } from "./mesh-knowledge.js";
import { MeshModels } from "./mesh-models.js";
import { MeshParameters } from "./mesh-parameters.js";
import { MeshPrograms } from "./mesh-programs.js";
import { MeshSearches } from "./mesh-searches.js";
import type { Neighbours } from "./ports.js";

/** The neighbours as the mesh has them. */
export function meshNeighbours(mesh: Mesh): Neighbours {
  return {
    knowledge: new MeshKnowledge(mesh),
    agents: new MeshAgents(mesh),
    models: new MeshModels(mesh),
    programs: new MeshPrograms(mesh),
    searches: new MeshSearches(mesh),
    parameters: new MeshParameters(mesh),
  };
}
