/** An agent that this mesh has without anybody registering it. */
export interface Agent {
  readonly name: string;
  /** Name of its prompt or program: `ParameterSet.prompt` of its arms. */
  readonly prompt: string;
  readonly skills: readonly string[];
  /** Whether it can be run here, by a call of a model; others run in the orchestrator only. */
  readonly runsHere: boolean;
}

/** The built-in agents; what each does is the orchestrator's and the kit's. */
export const AGENTS: readonly Agent[] = [
  { name: "direct", prompt: "direct", skills: ["answer", "extract", "classify", "write", "code"], runsHere: true },
  { name: "reasoner", prompt: "reasoner", skills: ["answer", "arithmetic", "reason", "plan", "code"], runsHere: true },
  { name: "dspy", prompt: "dspy", skills: ["answer", "extract", "classify"], runsHere: false },
];
