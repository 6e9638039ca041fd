import type { WorkContext } from "@uait/kit";
import type { Planner } from "../search.js";
import type { Arm, ChatMessage, Citation, Degradation, OutputConstraint, Sampling, Usage } from "../vocabulary.js";

/** What the orchestrator wants of its neighbours: each an interface of its own, so that a search can be run without a mesh. */
export interface Neighbours {
  readonly knowledge: Knowledge;
  readonly agents: Agents;
  readonly models: Models;
  readonly programs: Programs;
  readonly searches: Searches;
  readonly parameters: Parameters;
}

/** What is known: the service `context`. */
export interface Knowledge {
  enrich(question: Question, from: WorkContext): Promise<Enrichment>;
  /** Stores what a run taught. */
  store(note: Note, from: WorkContext): Promise<void>;
}

export interface Question {
  readonly task: string;
  /** Numbers of `ContextOptions.Source`. */
  readonly sources: readonly number[];
  readonly fileIds: readonly string[];
  /** 0 for the service's default. */
  readonly maxTokens: number;
  readonly minScore: number;
}

export interface Enrichment {
  readonly text: string;
  readonly citations: Citation[];
  readonly tokens: number;
  readonly degradations: readonly Degradation[];
}

export interface Note {
  /** What a run found out, or what somebody said would have been right. */
  readonly kind: "answer" | "correction";
  readonly requestId: string;
  readonly runId: string;
  readonly text: string;
  readonly taskType: string;
  readonly score: number;
}

/** Who may make attempts: the service `agent-selector`. */
export interface Agents {
  select(wish: AgentWish, from: WorkContext): Promise<Selection>;
  recordOutcome(outcome: AgentOutcome, from: WorkContext): Promise<void>;
}

export interface AgentWish {
  readonly requestId: string;
  readonly task: string;
  readonly taskType: string;
  readonly agents: readonly string[];
  readonly models: readonly string[];
  readonly count: number;
  readonly seed: bigint | undefined;
}

export interface Selection {
  /** Empty when nobody wants to hear of the outcome. */
  readonly selectionId: string;
  readonly taskType: string;
  readonly choices: readonly AgentChoice[];
  readonly degradations: readonly Degradation[];
}

export interface AgentChoice {
  readonly agent: string;
  readonly arm: Arm;
  readonly expectedScore: number;
  readonly propensity: number;
  /** Outcomes that it was learned from. */
  readonly observations: number;
  readonly why: string;
}

export interface AgentOutcome {
  readonly requestId: string;
  readonly selectionId: string;
  readonly agent: string;
  readonly armId: string;
  readonly result: { readonly score: number } | { readonly code: number; readonly reason: string };
  readonly latencyMs: number;
  readonly usage: Usage;
}

/** Language models: the service `llm-router`. */
export interface Models {
  generate(call: ModelCall, from: WorkContext): AsyncIterable<ModelEvent>;
}

export interface ModelCall {
  readonly messages: ChatMessage[];
  readonly sampling: Sampling | undefined;
  readonly constraint: OutputConstraint | undefined;
  /** Empty for whichever the router chooses. */
  readonly model: string;
  /** Most that the call may cost, where no model is named; absent for no limit. */
  readonly maxCostMicroUsd: bigint | undefined;
  readonly runId: string;
  readonly nodeId: string;
  readonly taskType: string;
  readonly agent: string;
}

export type ModelEvent =
  | { readonly kind: "routed"; readonly model: string; readonly degradation: Degradation | undefined }
  | { readonly kind: "delta"; readonly text: string; readonly tokens: number }
  | { readonly kind: "end"; readonly usage: Usage };

/** Programs over models: the service `dspy`. */
export interface Programs {
  /** Returns when there is such a program. @throws StatusError */
  find(program: string, from: WorkContext): Promise<void>;
  predict(call: ProgramCall, from: WorkContext): Promise<Prediction>;
}

export interface ProgramCall {
  readonly requestId: string;
  readonly program: string;
  readonly inputs: Readonly<Record<string, string>>;
  /** Empty for the program's own. */
  readonly model: string;
  readonly sampling: Sampling | undefined;
}

export interface Prediction {
  readonly outputs: Readonly<Record<string, unknown>>;
  readonly reasoning: string;
  readonly model: string;
  readonly usage: Usage;
}

/** Searches: the service `ab-mcts`. */
export interface Searches {
  create(wish: SearchWish, from: WorkContext): Promise<OpenSearch>;
  feedback(feedback: SearchFeedback, from: WorkContext): Promise<void>;
}

export interface OpenSearch {
  readonly searchId: string;
  /** Plans by it, on behalf of the work that the attempts are part of. */
  planner(from: WorkContext): Planner;
}

export interface SearchWish {
  readonly requestId: string;
  readonly runId: string;
  readonly taskType: string;
  readonly actions: readonly { readonly name: string; readonly expectedScore: number | undefined }[];
  readonly seed: bigint;
  readonly maxNodes: number;
  readonly targetScore: number;
  readonly maxDepth: number;
  readonly askTtlMs: number;
  /** Whether the texts of attempts may be kept with their nodes. */
  readonly keepsTexts: boolean;
}

export interface SearchFeedback {
  readonly requestId: string;
  readonly searchId: string;
  readonly searchNodeId: string;
  readonly reward: number;
  readonly comment: string;
}

/** Learned parameters: the service `intelligent-parameter`. */
export interface Parameters {
  recordFeedback(feedback: ParameterFeedback, from: WorkContext): Promise<void>;
}

export interface ParameterFeedback {
  readonly requestId: string;
  readonly taskType: string;
  readonly arm: Arm;
  readonly reward: number;
  readonly runId: string;
}
