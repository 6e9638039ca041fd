import { setTimeout as delay } from "node:timers/promises";
import type { StatusError, WorkContext } from "@uait/kit";
import type { Action } from "./action.js";
import { type Degradations, degradation, failureOf, isAway, isPermanent, isTransient } from "./failure.js";
import type { ModelTime } from "./model-time.js";
import type { ModelCall, Models, Programs } from "./neighbours/ports.js";
import { answerIn, type Briefing, messagesOf, promptOf } from "./prompt.js";
import { type Attempt, type AttemptControl, AttemptFailure, type Made, type Maker } from "./search.js";
import { deriveSeed } from "./seed.js";
import { NO_USAGE } from "./usage.js";
import type { OutputConstraint, Sampling, Usage } from "./vocabulary.js";

export interface MakerOptions {
  readonly actions: ReadonlyMap<string, Action>;
  readonly models: Models;
  readonly programs: Programs;
  readonly briefing: Briefing;
  readonly constraint: OutputConstraint | undefined;
  /** Instructions for refinements; absent for the built-in ones. */
  readonly refinement?: string | undefined;
  /** The run's seed: each attempt's is derived from it. */
  readonly seed: bigint;
  readonly maxCostMicroUsd: bigint | undefined;
  readonly runId: string;
  readonly taskType: string;
  readonly from: WorkContext;
  readonly modelTime: ModelTime;
  readonly degradations: Degradations;
}

/** Waits before a model that cannot be reached is tried again, while no token came, ms: a restart takes some seconds. */
const RETRY_MS = [100, 300, 900, 2700] as const;

/** What a call has said so far. */
interface Progress {
  text: string;
  tokens: number;
  model: string;
  usage: Usage | undefined;
}

/** Makes attempts by real calls of models and programs. */
export class ModelMaker implements Maker {
  readonly #options: MakerOptions;

  constructor(options: MakerOptions) {
    this.#options = options;
  }

  async make(attempt: Attempt, control: AttemptControl): Promise<Made> {
    const action = this.#options.actions.get(attempt.action);
    if (action === undefined) throw new RangeError(`no action ${attempt.action}`);
    const progress: Progress = { text: "", tokens: 0, model: action.model, usage: undefined };
    const abort = new AbortController();
    const end = () => abort.abort();
    const sources = [control.signal, control.stop];
    for (const source of sources) source.addEventListener("abort", end, { once: true });
    if (sources.some(({ aborted }) => aborted)) end();
    try {
      await this.#retrying(progress, abort.signal, () => this.#call(action, attempt, control, abort.signal, progress));
      return this.#made(action, progress, false);
    } catch (error) {
      control.signal.throwIfAborted();
      if (control.stop.aborted) return this.#made(action, progress, true);
      if (action.method.kind === "program" && isAway(error))
        this.#options.degradations.add(degradation("dspy", "attempts of its agent failed", error));
      throw attemptFailure(error, usageOf(progress), attempt);
    } finally {
      for (const source of sources) source.removeEventListener("abort", end);
    }
  }

  #made({ method }: Action, progress: Progress, cut: boolean): Made {
    // Where the form is constrained, a model was asked for the answer alone, whatever its prompt.
    const free = method.kind === "model" && this.#options.constraint === undefined;
    const text = free ? answerIn(method.prompt, progress.text) : progress.text;
    return { text, model: progress.model, usage: usageOf(progress), cut };
  }

  async #retrying(progress: Progress, signal: AbortSignal, call: () => Promise<void>): Promise<void> {
    for (const waitMs of RETRY_MS) {
      try {
        return await this.#options.modelTime.during(call);
      } catch (error) {
        if (signal.aborted || progress.tokens > 0 || progress.text !== "" || !isTransient(error)) throw error;
        await delay(waitMs, undefined, { signal });
      }
    }
    await this.#options.modelTime.during(call);
  }

  async #call(
    action: Action,
    attempt: Attempt,
    control: AttemptControl,
    signal: AbortSignal,
    progress: Progress,
  ): Promise<void> {
    const from = { ...this.#options.from, signal };
    const sampling = samplingOf(action, deriveSeed(this.#options.seed, { attempt: attempt.ordinal }), control);
    if (action.method.kind === "program")
      await this.#predict(action, action.method.program, attempt, sampling, from, progress);
    else
      await this.#generate(this.#modelCall(action, action.method.prompt, attempt, sampling), from, control, progress);
  }

  #modelCall(
    action: Action,
    prompt: Parameters<typeof messagesOf>[0],
    attempt: Attempt,
    sampling: Sampling,
  ): ModelCall {
    const { constraint, refinement, maxCostMicroUsd, runId, taskType } = this.#options;
    const briefing = this.#briefing(action);
    return {
      messages: messagesOf(constraint === undefined ? prompt : "direct", briefing, attempt.parent, refinement),
      sampling,
      constraint,
      model: action.model,
      maxCostMicroUsd,
      runId,
      nodeId: attempt.nodeId,
      taskType,
      agent: action.choice.agent,
    };
  }

  #briefing({ instructions }: Action): Briefing {
    const { briefing } = this.#options;
    return instructions === undefined ? briefing : { ...briefing, instructions };
  }

  async #generate(call: ModelCall, from: WorkContext, control: AttemptControl, progress: Progress): Promise<void> {
    for await (const event of this.#options.models.generate(call, from)) {
      switch (event.kind) {
        case "routed":
          progress.model = event.model;
          if (event.degradation !== undefined) this.#options.degradations.add(event.degradation);
          break;
        case "delta":
          progress.text += event.text;
          progress.tokens += event.tokens;
          control.onDelta({ text: event.text, tokens: event.tokens });
          break;
        case "end":
          progress.usage = event.usage;
          break;
      }
    }
  }

  async #predict(
    action: Action,
    program: string,
    { nodeId, parent }: Attempt,
    sampling: Sampling,
    from: WorkContext,
    progress: Progress,
  ): Promise<void> {
    const { programs } = this.#options;
    const briefing = this.#briefing(action);
    const task = promptOf(briefing, parent, this.#options.refinement);
    const inputs = briefing.context === "" ? { task } : { task, context: briefing.context };
    const { outputs, model, usage } = await programs.predict(
      { requestId: nodeId, program, inputs, model: action.model, sampling },
      from,
    );
    const { answer } = outputs;
    progress.text = typeof answer === "string" ? answer : JSON.stringify(answer ?? outputs);
    progress.model = model;
    progress.usage = usage;
  }
}

const NO_SAMPLING: Sampling = { stop: [] };

function samplingOf(
  { sampling = NO_SAMPLING }: Action,
  derived: bigint,
  { maxOutputTokens }: AttemptControl,
): Sampling {
  const longest = Math.min(maxOutputTokens, sampling.maxOutputTokens ?? LONGEST_OUTPUT);
  // A seed that the caller gave is the seed of every attempt: it asked for that.
  return { ...sampling, seed: sampling.seed ?? derived, maxOutputTokens: longest };
}

/** Largest `Sampling.max_output_tokens`. */
const LONGEST_OUTPUT = 131_072;

function usageOf({ usage, tokens }: Progress): Usage {
  // A call that was cut off tells no usage: what it wrote was counted as it came.
  return usage ?? { ...NO_USAGE, outputTokens: BigInt(tokens), calls: 1 };
}

function attemptFailure(error: unknown, usage: Usage, { parent }: Attempt): AttemptFailure {
  const permanent = isPermanent(error) && !(parent !== undefined && isTooLong(error));
  return new AttemptFailure({ failure: failureOf(error), usage, permanent, cause: error });
}

// A refinement reads more than a fresh attempt, which may still fit.
function isTooLong({ reason }: StatusError): boolean {
  return reason === "INPUT_TOO_LONG";
}
