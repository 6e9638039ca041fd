/** The contract's own words for what this service chooses with: the one place from which domain files take them. */
export type { AgentChoice, Candidates } from "@uait/gen/uait/agent_selector/v1/agent_selector.js";
export {
  type Arm,
  type GetParametersResponse_Suggestion as Suggestion,
  ParameterSet,
  type Posterior,
} from "@uait/gen/uait/intelligent_parameter/v1/parameter.js";
export type { Degradation } from "@uait/gen/uait/types/v1/failure.js";
export { type ChatMessage, FinishReason, type OutputConstraint, Role } from "@uait/gen/uait/types/v1/generation.js";
export type { Budget, Usage } from "@uait/gen/uait/types/v1/usage.js";
