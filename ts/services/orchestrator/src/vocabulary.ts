/**
 * The contract's own words for what this service computes with: the one place from which domain files take them. They are
 * plain data; how a message looks on the wire is the handlers' business.
 */
export type { RunEnded, RunFeedbackGiven, RunNodeAdded, RunStarted } from "@uait/gen/uait/event/v1/run_event.js";
export { RunEnded_Ending as Ending } from "@uait/gen/uait/event/v1/run_event.js";
export type { Arm, ParameterSet } from "@uait/gen/uait/intelligent_parameter/v1/parameter.js";
export type {
  AgentsChosen,
  Answer,
  ContextGathered,
  NodeFailed,
  NodeScored,
  NodeStarted,
  NodeToken,
  Run,
  RunStarted as RunStartedEvent,
  Verdict,
} from "@uait/gen/uait/orchestrator/v1/run.js";
export { RunState, SearchOptions_Strategy as Strategy } from "@uait/gen/uait/orchestrator/v1/run.js";
export type { Citation } from "@uait/gen/uait/types/v1/citation.js";
export type { Degradation, Failure } from "@uait/gen/uait/types/v1/failure.js";
export type { ChatMessage, OutputConstraint, Sampling } from "@uait/gen/uait/types/v1/generation.js";
export { Role } from "@uait/gen/uait/types/v1/generation.js";
export type { Budget, Usage } from "@uait/gen/uait/types/v1/usage.js";
export { BudgetLimit } from "@uait/gen/uait/types/v1/usage.js";
