import { createHash } from "node:crypto";
import { answerIn, askBy, durationToMillis, MODEL_PROMPTS, Status, StatusError, type WorkContext } from "@uait/kit";
import type { Agent } from "./agent.js";
import { degradationOf, within } from "./degradation.js";
import { SelectionError } from "./error.js";
import type { Learning } from "./learning.js";
import type { ModelProgress, Models } from "./neighbours/ports.js";
import { rewardOf } from "./outcome.js";
import type { Selector } from "./selector.js";
import { NO_USAGE, sumOf } from "./usage.js";
import {
  type AgentChoice,
  type Budget,
  type Candidates,
  type Degradation,
  type OutputConstraint,
  Role,
  type Usage,
} from "./vocabulary.js";

export interface ExecutionOptions {
  readonly agents: readonly Agent[];
  readonly selector: Selector;
  readonly models: Models;
  readonly learning: Learning;
  /** How long a failure waits to be learned from. */
  readonly neighbourTimeoutMs: number;
  /** Unix time in milliseconds. */
  readonly now: () => number;
}

export interface Order {
  readonly requestId: string;
  readonly task: string;
  readonly taskType: string;
  readonly wanted: Candidates | undefined;
  readonly output: OutputConstraint | undefined;
  readonly budget: Budget | undefined;
}

export interface Execution {
  readonly selectionId: string;
  readonly text: string;
  readonly choice: AgentChoice;
  readonly usage: Usage;
  readonly elapsedMs: number;
  readonly degradations: readonly Degradation[];
}

/** Most choices of one selection. */
const MOST_AGENTS = 64;
/** Largest `Sampling.max_output_tokens`. */
const LONGEST_OUTPUT = 131_072n;

/** Runs a task by the agent that is chosen for it, and by the next one where that fails. */
export class Executor {
  readonly #options: ExecutionOptions;

  constructor(options: ExecutionOptions) {
    this.#options = options;
  }

  /** @throws SelectionError when there is no agent or the budget ends; StatusError of the last agent when all have failed */
  async execute(order: Order, from: WorkContext): Promise<Execution> {
    const { selector, now } = this.#options;
    const startedMs = now();
    const { budget } = order;
    const work = withWallTime(budget, from, startedMs);
    const selection = await selector.select(
      {
        ...order,
        agents: this.#agentsHere(order.wanted),
        freeOnly: budget?.maxCostMicroUsd === 0n,
        count: Math.min(budget?.maxNodes ?? MOST_AGENTS, MOST_AGENTS),
        seed: undefined,
        notes: this.#notes(),
      },
      work,
    );
    const { selectionId, taskType } = selection;
    const degradations = [...selection.degradations];
    let usage = NO_USAGE;
    let last: StatusError | undefined;
    for (const choice of selection.choices) {
      const maxOutputTokens = tokensLeft(budget, usage);
      const progress: ModelProgress = { outputTokens: 0 };
      const begunMs = now();
      try {
        const answer = await this.#run({ ...order, taskType }, choice, maxOutputTokens, progress, work);
        usage = sumOf(usage, answer.usage);
        return { selectionId, text: answer.text, choice, usage, elapsedMs: now() - startedMs, degradations };
      } catch (error) {
        from.signal.throwIfAborted();
        throwIfWallTimeIsOver(budget, startedMs, now());
        if (!(error instanceof StatusError) || !isForAnother(error)) throw error;
        last = error;
        usage = sumOf(usage, usageOf(progress));
        degradations.push(failed(choice, error));
        await this.#learn(order, selectionId, choice, error, now() - begunMs, work, degradations);
      }
    }
    throw last ?? new SelectionError({ kind: "no_candidate", requirement: "an agent" });
  }

  #agentsHere(wanted: Candidates | undefined): readonly Agent[] {
    const here = this.#options.agents.filter(({ runsHere }) => runsHere);
    const names = wanted?.agents ?? [];
    if (names.length > 0 && !here.some(({ name }) => names.includes(name)))
      throw new SelectionError({
        kind: "no_candidate",
        requirement: `an agent that runs here, as ${names.join(" and ")} does not`,
      });
    return here;
  }

  #notes(): string[] {
    const elsewhere = this.#options.agents.filter(({ runsHere }) => !runsHere);
    return elsewhere.map(({ name }) => `${name} was left out: only the orchestrator runs it`);
  }

  async #run(
    { task, taskType, output }: Order,
    { agent, arm }: AgentChoice,
    maxOutputTokens: number | undefined,
    progress: ModelProgress,
    from: WorkContext,
  ): Promise<{ readonly text: string; readonly usage: Usage }> {
    const { model = "", prompt: name } = arm?.parameters ?? {};
    // Where the form is constrained there is no room for reasoning: the model is asked for the answer alone.
    const prompt = output === undefined ? (MODEL_PROMPTS.find((each) => each === name) ?? "direct") : "direct";
    const content = { $case: "text", value: askBy(prompt, task) } as const;
    const messages = [{ role: Role.ROLE_USER, parts: [{ content }], name: "" }];
    const call = { model, messages, constraint: output, maxOutputTokens, taskType, agent };
    const { text, usage } = await this.#options.models.generate(call, progress, from);
    return { text: answerIn(prompt, text), usage };
  }

  // A success is not learned from here: nobody has said how good the answer is, which its caller can (RecordOutcome).
  async #learn(
    { requestId }: Order,
    selectionId: string,
    { agent, arm }: AgentChoice,
    { code }: StatusError,
    latencyMs: number,
    from: WorkContext,
    degradations: Degradation[],
  ): Promise<void> {
    const { learning, neighbourTimeoutMs, now } = this.#options;
    const armId = arm?.armId ?? "";
    const outcome = { code };
    if (rewardOf(outcome) === undefined) return;
    const id = createHash("sha256").update(`execute/${requestId}/${selectionId}/${armId}`).digest("base64url");
    const report = { requestId: id, selectionId, agent, armId, outcome, latencyMs, usage: undefined };
    try {
      await learning.record(report, within(from, neighbourTimeoutMs, now()));
    } catch (error) {
      from.signal.throwIfAborted();
      if (!(error instanceof StatusError)) throw error;
      degradations.push(degradationOf("intelligent-parameter", `the failure of ${agent} was not learned from`, error));
    }
  }
}

/** Whether another agent may do better, where one has failed. */
function isForAnother({ code, reason }: StatusError): boolean {
  switch (code) {
    case Status.CANCELLED:
    case Status.UNAUTHENTICATED:
    case Status.PERMISSION_DENIED:
      return false;
    case Status.INVALID_ARGUMENT:
      return reason === "INPUT_TOO_LONG";
    case Status.RESOURCE_EXHAUSTED:
      return reason !== "BUDGET_EXHAUSTED";
    default:
      return true;
  }
}

function failed({ agent, arm }: AgentChoice, error: StatusError): Degradation {
  const model = arm?.parameters?.model ?? "";
  const effect = `agent ${agent}${model === "" ? "" : ` with ${model}`} failed, and the next one was asked`;
  return degradationOf(model === "" ? "llm-router" : model, effect, error);
}

function usageOf({ outputTokens }: ModelProgress): Usage {
  return outputTokens === 0 ? NO_USAGE : { ...NO_USAGE, outputTokens: BigInt(outputTokens), calls: 1 };
}

// The budget's limits, looked at before each agent: the longest answer that is left, `undefined` for any.
function tokensLeft(budget: Budget | undefined, used: Usage): number | undefined {
  const { maxTokens, maxCostMicroUsd } = budget ?? {};
  if (maxCostMicroUsd !== undefined && maxCostMicroUsd > 0n && used.costMicroUsd >= maxCostMicroUsd)
    throw exhausted("max_cost_micro_usd", maxCostMicroUsd);
  if (maxTokens === undefined) return undefined;
  const left = maxTokens - used.inputTokens - used.outputTokens;
  if (left <= 0n) throw exhausted("max_tokens", maxTokens);
  return Number(left < LONGEST_OUTPUT ? left : LONGEST_OUTPUT);
}

function withWallTime(budget: Budget | undefined, from: WorkContext, startedMs: number): WorkContext {
  if (budget?.maxWallTime === undefined) return from;
  const endMs = startedMs + durationToMillis(budget.maxWallTime);
  return { ...from, deadlineMs: Math.min(from.deadlineMs ?? endMs, endMs) };
}

function throwIfWallTimeIsOver(budget: Budget | undefined, startedMs: number, nowMs: number): void {
  if (budget?.maxWallTime === undefined) return;
  const limitMs = durationToMillis(budget.maxWallTime);
  if (nowMs - startedMs >= limitMs) throw exhausted("max_wall_time", `${limitMs} ms`);
}

function exhausted(name: string, limit: bigint | string): SelectionError {
  return new SelectionError({ kind: "budget_exhausted", budget: name, limit: String(limit) });
}
