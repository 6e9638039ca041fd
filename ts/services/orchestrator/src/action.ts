import type { AgentChoice } from "./neighbours/ports.js";
import { MODEL_PROMPTS, type ModelPrompt } from "./prompt.js";
import type { Sampling } from "./vocabulary.js";

/** How an action makes an attempt. */
export type Method =
  | { readonly kind: "model"; readonly prompt: ModelPrompt }
  | { readonly kind: "program"; readonly program: string };

/** A way to make attempts: an agent with a model and its parameters. */
export interface Action {
  /** Unique in the run, and the same in every run with the same agent and parameters. */
  readonly name: string;
  readonly choice: AgentChoice;
  readonly method: Method;
  /** Empty for whichever the router chooses. */
  readonly model: string;
  readonly sampling: Sampling | undefined;
  /** Instructions of its own, in place of the run's. */
  readonly instructions?: string | undefined;
}

/** Program of the agent `dspy`. */
const ANSWER_PROGRAM = "answer";
/** Longest name of an action in `uait.ab_mcts.v1`. */
const MAX_NAME = 128;

/** Names of the agents that this service runs itself. */
export const BUILT_IN_AGENTS = [...MODEL_PROMPTS, "dspy"] as const;

/** The actions of the choices that this service can run; what the caller said of sampling stands above what was learned. */
export function actionsOf(choices: readonly AgentChoice[], sampling: Sampling | undefined): Action[] {
  const actions = new Map<string, Action>();
  for (const choice of choices) {
    const method = methodOf(choice);
    if (method === undefined) continue;
    const { armId, parameters } = choice.arm;
    const name = `${choice.agent}/${armId}`.slice(0, MAX_NAME);
    const model = parameters?.model ?? "";
    if (!actions.has(name)) {
      actions.set(name, { name, choice, method, model, sampling: mergeSampling(parameters?.sampling, sampling) });
    }
  }
  return [...actions.values()];
}

function methodOf({ agent, arm }: AgentChoice): Method | undefined {
  const prompt = arm.parameters?.prompt || agent;
  const known = MODEL_PROMPTS.find((name) => name === prompt) ?? MODEL_PROMPTS.find((name) => name === agent);
  if (known !== undefined) return { kind: "model", prompt: known };
  if (agent !== "dspy") return undefined;
  return { kind: "program", program: prompt === "dspy" ? ANSWER_PROGRAM : prompt };
}

/** The fields of the second, and of the first where the second has none. */
export function mergeSampling(first: Sampling | undefined, second: Sampling | undefined): Sampling | undefined {
  if (first === undefined || second === undefined) return second ?? first;
  const own = Object.fromEntries(
    Object.entries(second).filter(([, value]) => value !== undefined),
  ) as Partial<Sampling>;
  return { ...first, ...own, stop: second.stop.length > 0 ? second.stop : first.stop };
}
