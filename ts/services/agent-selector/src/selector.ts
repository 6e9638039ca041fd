import { durationToMillis, type WorkContext } from "@uait/kit";
import type { Agent } from "./agent.js";
import { type Candidate, type CandidateModel, candidatesOf, shuffled } from "./candidate.js";
import { degradationOf, isAway, patience, within } from "./degradation.js";
import type { LearnedParameters, Models } from "./neighbours/ports.js";
import type { Selections } from "./selections.js";
import { classifyTask } from "./task-type.js";
import type { AgentChoice, Candidates, Degradation, Suggestion } from "./vocabulary.js";

export interface SelectorOptions {
  readonly parameters: LearnedParameters;
  readonly models: Models;
  readonly selections: Selections;
  readonly neighbourTimeoutMs: number;
  /** Unix time in milliseconds. */
  readonly now: () => number;
  readonly newId: () => string;
  readonly newSeed: () => bigint;
}

export interface SelectionWish {
  readonly task: string;
  /** Empty to be classified. */
  readonly taskType: string;
  readonly agents: readonly Agent[];
  readonly wanted: Candidates | undefined;
  /** Whether only models may be chosen whose tokens cost nothing. */
  readonly freeOnly: boolean;
  readonly count: number;
  readonly seed: bigint | undefined;
  /** Said of every choice. */
  readonly notes: readonly string[];
}

export interface Selection {
  readonly selectionId: string;
  readonly taskType: string;
  readonly choices: readonly AgentChoice[];
  readonly degradations: readonly Degradation[];
}

/** Most candidates, and most draws, of one call of GetParameters. */
const MOST = 256;
/** Draws asked for at once for each different choice: enough that one call mostly suffices. */
const DRAWS_A_CHOICE = 16;
const SEEDS = 1n << 64n;

/** Chooses among agents and models by what was learned, and uniformly where that is not at hand. */
export class Selector {
  readonly #options: SelectorOptions;

  constructor(options: SelectorOptions) {
    this.#options = options;
  }

  /** @throws SelectionError when there is nothing to choose among; StatusError of a neighbour that refuses */
  async select(wish: SelectionWish, from: WorkContext): Promise<Selection> {
    const degradations: Degradation[] = [];
    const classified = wish.taskType === "";
    const taskType = classified ? classifyTask(wish.task) : wish.taskType;
    const models = await this.#availableModels(wish.freeOnly, from, degradations);
    const all = candidatesOf({ agents: wish.agents, models, wanted: wish.wanted });
    const seed = wish.seed ?? this.#options.newSeed();
    const candidates = all.length <= MOST ? all : shuffled(all, seed).slice(0, MOST);
    const notes = [...wish.notes];
    if (classified) notes.push(`the task reads like ${taskType}`);
    if (candidates.length < all.length) notes.push(`one of ${MOST} candidates drawn from ${all.length}`);
    const choices = await this.#choose({ ...wish, taskType, seed, notes }, candidates, from, degradations);
    const selectionId = this.#options.newId();
    await this.#remember(selectionId, taskType, choices, from, degradations);
    return { selectionId, taskType, choices, degradations };
  }

  async #availableModels(
    freeOnly: boolean,
    from: WorkContext,
    degradations: Degradation[],
  ): Promise<readonly CandidateModel[] | undefined> {
    const { models, neighbourTimeoutMs, now } = this.#options;
    try {
      const available = await models.available(within(from, neighbourTimeoutMs, now()));
      return freeOnly ? available.filter(({ free }) => free === true) : available;
    } catch (error) {
      from.signal.throwIfAborted();
      if (!isAway(error) || freeOnly) throw error;
      const effect = "which models answer is not known: those asked for are taken on trust, or the router's default";
      degradations.push(degradationOf("llm-router", effect, error));
      return undefined;
    }
  }

  async #choose(
    wish: SelectionWish & { readonly seed: bigint },
    candidates: readonly Candidate[],
    from: WorkContext,
    degradations: Degradation[],
  ): Promise<AgentChoice[]> {
    try {
      return await this.#drawn(wish, candidates, from);
    } catch (error) {
      from.signal.throwIfAborted();
      if (!isAway(error)) throw error;
      const effect =
        "the choice is uniformly random: what was learned, and what candidates cost and take on average, is not at hand";
      degradations.push(degradationOf("intelligent-parameter", effect, error));
      return uniform(wish, candidates);
    }
  }

  // A draw without replacement: the draws in their order, each arm where it comes first. Where that leaves too few, the rest
  // is drawn among again.
  async #drawn(
    { taskType, wanted, count, seed, notes }: SelectionWish & { readonly seed: bigint },
    candidates: readonly Candidate[],
    from: WorkContext,
  ): Promise<AgentChoice[]> {
    const { parameters, neighbourTimeoutMs, now } = this.#options;
    const work = within(from, neighbourTimeoutMs, now());
    const choices: AgentChoice[] = [];
    const left = new Map(candidates.map((candidate) => [candidate.armId, candidate]));
    for (let round = 0n; choices.length < count && left.size > 0; round++) {
      const suggestions = await this.#suggested(choices.length > 0, async () =>
        parameters.suggest(
          {
            taskType,
            candidates: [...left.values()].map((candidate) => candidate.parameters),
            count: Math.min(MOST, DRAWS_A_CHOICE * (count - choices.length)),
            seed: (seed + round) % SEEDS,
            maxCostMicroUsd: wanted?.maxCostMicroUsd,
            maxLatencyMs: wanted?.maxLatency === undefined ? undefined : durationToMillis(wanted.maxLatency),
          },
          work,
        ),
      );
      if (suggestions.length === 0) break;
      for (const suggestion of suggestions) {
        const candidate = left.get(suggestion.arm?.armId ?? "");
        if (candidate === undefined || choices.length === count) continue;
        left.delete(candidate.armId);
        choices.push(choiceOf(candidate, suggestion, taskType, choices.length, notes));
      }
    }
    return choices;
  }

  // When those that keep to the limits have all been chosen, there are simply no more.
  async #suggested(some: boolean, ask: () => Promise<readonly Suggestion[]>): Promise<readonly Suggestion[]> {
    try {
      return await ask();
    } catch (error) {
      if (some && (error as { readonly reason?: unknown }).reason === "NO_CANDIDATE") return [];
      throw error;
    }
  }

  async #remember(
    selectionId: string,
    taskType: string,
    choices: readonly AgentChoice[],
    from: WorkContext,
    degradations: Degradation[],
  ): Promise<void> {
    const { selections, neighbourTimeoutMs, now } = this.#options;
    const record = {
      taskType,
      choices: choices.map(({ agent, arm, propensity }) => ({
        agent,
        armId: arm?.armId ?? "",
        model: arm?.parameters?.model ?? "",
        prompt: arm?.parameters?.prompt ?? "",
        propensity,
      })),
    };
    try {
      const timeout = AbortSignal.timeout(Math.ceil(patience(from, neighbourTimeoutMs, now())));
      await selections.put(from.identity.tenant, selectionId, record, timeout);
    } catch (error) {
      if (!isAway(error)) throw error;
      const effect = "the selection is known to this process only: its outcome cannot be recorded after a restart";
      degradations.push(degradationOf("nats", effect, error));
    }
  }
}

function choiceOf(
  { agent, armId, parameters }: Candidate,
  { drawnReward, propensity, posterior }: Suggestion,
  taskType: string,
  place: number,
  notes: readonly string[],
): AgentChoice {
  const { mean = 0.5, standardDeviation = 0, observations = 0 } = posterior ?? {};
  const known =
    observations > 0
      ? `scores ${shown(mean)} ± ${shown(standardDeviation)} in ${taskType}, by outcomes worth ${shown(observations)}`
      : `not tried in ${taskType} yet, so believed to score ${shown(mean)} ± ${shown(standardDeviation)}`;
  const drawn = `drew ${shown(drawnReward)}, ${place === 0 ? "the highest" : `the highest of those left after ${place}`}`;
  const reasons = [known, drawn, `one draw chooses it with probability ${shown(propensity)}`, ...notes];
  return { agent, arm: { armId, parameters }, expectedScore: mean, propensity, observations, reasons };
}

/** Different candidates, each as likely as any other. */
function uniform(
  { count, seed, notes }: SelectionWish & { readonly seed: bigint },
  candidates: readonly Candidate[],
): AgentChoice[] {
  const propensity = 1 / candidates.length;
  return shuffled(candidates, seed)
    .slice(0, count)
    .map(({ agent, armId, parameters }) => ({
      agent,
      arm: { armId, parameters },
      expectedScore: 0.5,
      propensity,
      observations: 0,
      reasons: [`one of ${candidates.length} at random, since what was learned is not at hand`, ...notes],
    }));
}

function shown(value: number): string {
  return String(Math.round(value * 1000) / 1000);
}
