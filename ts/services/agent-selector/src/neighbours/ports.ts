import type { WorkContext } from "@uait/kit";
import type { CandidateModel } from "../candidate.js";
import type { ChatMessage, OutputConstraint, ParameterSet, Posterior, Suggestion, Usage } from "../vocabulary.js";

export interface ParameterWish {
  readonly taskType: string;
  readonly candidates: readonly ParameterSet[];
  /** Draws: 1 to 256. */
  readonly count: number;
  readonly seed: bigint;
  readonly maxCostMicroUsd: bigint | undefined;
  readonly maxLatencyMs: number | undefined;
}

export interface Feedback {
  readonly requestId: string;
  readonly taskType: string;
  readonly parameters: ParameterSet;
  readonly reward: number;
  readonly propensity: number;
  readonly latencyMs: number | undefined;
  readonly usage: Usage | undefined;
}

/** What was learned of arms; calls throw StatusError. */
export interface LearnedParameters {
  suggest(wish: ParameterWish, from: WorkContext): Promise<readonly Suggestion[]>;
  /** Returns what is believed once it is stored. */
  record(feedback: Feedback, from: WorkContext): Promise<Posterior | undefined>;
  /** What is believed of an arm; `undefined` when nothing was ever learned. */
  believed(taskType: string, armId: string, from: WorkContext): Promise<Posterior | undefined>;
}

export interface ModelCall {
  /** Empty leaves the choice to the router. */
  readonly model: string;
  readonly messages: readonly ChatMessage[];
  readonly constraint: OutputConstraint | undefined;
  readonly maxOutputTokens: number | undefined;
  readonly taskType: string;
  readonly agent: string;
}

/** What a call has said so far; it stays when the call fails. */
export interface ModelProgress {
  outputTokens: number;
}

export interface ModelAnswer {
  readonly text: string;
  readonly usage: Usage;
}

/** The models behind the router; calls throw StatusError. */
export interface Models {
  /** Those that answer now. */
  available(from: WorkContext): Promise<readonly CandidateModel[]>;
  generate(call: ModelCall, progress: ModelProgress, from: WorkContext): Promise<ModelAnswer>;
}
