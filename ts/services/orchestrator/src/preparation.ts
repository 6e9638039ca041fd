import { randomUUID } from "node:crypto";
import { StatusError, type WorkContext } from "@uait/kit";
import { type Action, actionsOf, BUILT_IN_AGENTS } from "./action.js";
import { OrchestratorError } from "./error.js";
import { type Degradations, degradation, isAway, isTransient } from "./failure.js";
import { FallbackPlanner } from "./fallback-planner.js";
import { LocalPlanner } from "./local-planner.js";
import type { AgentChoice, Enrichment, Neighbours, OpenSearch, Selection } from "./neighbours/ports.js";
import type { ContextWish, RunJob } from "./run-job.js";
import type { Planner } from "./search.js";
import { deriveSeed } from "./seed.js";
import { Strategy } from "./vocabulary.js";

export interface PreparationOptions {
  readonly job: RunJob;
  readonly neighbours: Neighbours;
  /** Time that an optional neighbour has, ms, so that a run never hangs on one. */
  readonly neighbourTimeoutMs: number;
  readonly from: WorkContext;
  readonly degradations: Degradations;
  /** Unix time in milliseconds. */
  readonly now: () => number;
}

/** Most ways to make attempts that a search chooses among. */
const MAX_CHOICES = 8;
/** Beyond the run's own time, ms, after which the search gives an attempt up. */
const ASK_MARGIN_MS = 60_000;

export const NO_ENRICHMENT: Enrichment = { text: "", citations: [], tokens: 0, degradations: [] };

/** What a run asks its neighbours before its first attempt. It can do without each of them, and says so. */
export class Preparation {
  readonly #options: PreparationOptions;

  constructor(options: PreparationOptions) {
    this.#options = options;
  }

  /** Gathers what is known. */
  async enrich(wish: ContextWish): Promise<Enrichment> {
    const { job, neighbours, degradations } = this.#options;
    const enrichment = await this.#optional("context", "no context was gathered", NO_ENRICHMENT, (from) =>
      neighbours.knowledge.enrich({ task: job.task, ...wish }, from),
    );
    for (const each of enrichment.degradations) degradations.add(each);
    return enrichment;
  }

  /** Chooses who may make attempts. */
  async select(): Promise<Selection> {
    const { runId, task, taskType, agents, models, seed, strategy } = this.#options.job;
    const count = strategy === Strategy.STRATEGY_SINGLE ? 1 : MAX_CHOICES;
    const wish = { requestId: runId, task, taskType, agents, models, count, seed: deriveSeed(seed, "agents") };
    const effect = "the agent is not chosen by what was learned";
    const selection = await this.#optional("agent-selector", effect, this.#unselected(), (from) =>
      this.#options.neighbours.agents.select(wish, from).catch((error: unknown) => {
        // Whether such a model exists is the router's to say, whose words name it.
        if (error instanceof StatusError && error.reason === "NO_CANDIDATE") return this.#unselected();
        throw error;
      }),
    );
    for (const each of selection.degradations) this.#options.degradations.add(each);
    return selection.choices.length > 0 ? selection : { ...selection, choices: this.#unselected().choices };
  }

  /** What is chosen where nobody chooses: the agents and models that were asked for, or `direct` by the router's default. */
  #unselected(): Selection {
    const { agents, models, taskType } = this.#options.job;
    const known = agents.filter((agent) => BUILT_IN_AGENTS.some((name) => name === agent));
    const chosen = known.length > 0 ? known : agents.length > 0 ? [] : ["direct"];
    const choices = chosen.flatMap((agent) => (models.length > 0 ? models : [""]).map((model) => choice(agent, model)));
    return {
      selectionId: "",
      taskType: taskType || "general",
      choices: choices.slice(0, MAX_CHOICES),
      degradations: [],
    };
  }

  /**
   * The actions that come of the choices, without programs where those are away and something else may be tried.
   *
   * @throws OrchestratorError when this service can run none of them
   */
  async actions({ choices }: Selection): Promise<Action[]> {
    const { agents, sampling } = this.#options.job;
    const actions = actionsOf(choices, sampling);
    if (actions.length === 0) {
      const requirement = agents.length > 0 ? `agent ${agents.join(" or ")}` : "an agent that runs here";
      throw new OrchestratorError({ kind: "no_candidate", requirement });
    }
    const program = actions.map(programOf).find((name) => name !== undefined);
    if (program === undefined) return actions;
    const chosen = actions.filter((action) => programOf(action) === undefined);
    const allowed = actionsOf(this.#unselected().choices, sampling).filter((action) => programOf(action) === undefined);
    const others = chosen.length > 0 ? chosen : allowed;
    return others.length === 0 || (await this.#isThere(program)) ? actions : others;
  }

  /** Whether programs can be run; that there is no such program is for its attempts to say. */
  async #isThere(program: string): Promise<boolean> {
    const { programs } = this.#options.neighbours;
    return await this.#optional("dspy", "its agent makes no attempts", false, async (from) => {
      try {
        await programs.find(program, from);
      } catch (error) {
        if (isAway(error) || isTransient(error)) throw error;
      }
      return true;
    });
  }

  /** Who decides what to try next, and the search in the mesh where it is one. */
  async plan(
    taskType: string,
    actions: readonly Action[],
  ): Promise<{ readonly planner: Planner; readonly searchId: string }> {
    const { runId, limits, strategy, targetScore, maxDepth, seed, forgotten } = this.#options.job;
    const { maxNodes, maxWallTimeMs } = limits;
    const names = actions.map(({ name }) => name);
    const local = new LocalPlanner({ actions: names, maxNodes, newId: randomUUID });
    if (strategy !== Strategy.STRATEGY_AB_MCTS) return { planner: local, searchId: "" };
    const wish = {
      requestId: runId,
      runId,
      taskType,
      actions: actions.map(({ name, choice: { expectedScore, observations } }) => ({
        name,
        expectedScore: observations > 0 ? expectedScore : undefined,
      })),
      seed: deriveSeed(seed, "search"),
      maxNodes,
      targetScore,
      maxDepth,
      askTtlMs: maxWallTimeMs + ASK_MARGIN_MS,
      keepsTexts: !forgotten,
    };
    const effect = "attempts are fresh ones only: none refines another";
    const created = await this.#optional<OpenSearch | undefined>("ab-mcts", effect, undefined, (from) =>
      this.#options.neighbours.searches.create(wish, from),
    );
    if (created === undefined) return { planner: local, searchId: "" };
    const planner = new FallbackPlanner({
      first: created.planner(this.#options.from),
      second: local,
      isAway,
      onFallback: (error) => this.#options.degradations.add(degradation("ab-mcts", effect, error)),
    });
    return { planner, searchId: created.searchId };
  }

  /** Asks an optional neighbour, and goes on without it when it is away. */
  async #optional<Result>(
    dependency: string,
    effect: string,
    without: Result,
    ask: (from: WorkContext) => Promise<Result>,
  ): Promise<Result> {
    const { neighbourTimeoutMs, now, from, degradations } = this.#options;
    const deadlineMs = Math.min(from.deadlineMs ?? Number.POSITIVE_INFINITY, now() + neighbourTimeoutMs);
    try {
      return await ask({ ...from, deadlineMs });
    } catch (error) {
      if (from.signal.aborted || !(isAway(error) || isTransient(error))) throw error;
      degradations.add(degradation(dependency, effect, error));
      return without;
    }
  }
}

function programOf({ method }: Action): string | undefined {
  return method.kind === "program" ? method.program : undefined;
}

function choice(agent: string, model: string): AgentChoice {
  return {
    agent,
    // Not an arm that anything was learned of: its id only tells it from the others.
    arm: {
      armId: model === "" ? "default" : model,
      parameters: { model, prompt: agent, sampling: undefined, extra: {} },
    },
    expectedScore: 0,
    propensity: 0,
    observations: 0,
    why: "the agent selector is away",
  };
}
