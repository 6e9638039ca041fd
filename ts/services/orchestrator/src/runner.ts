import { type Logger, millisToDuration, Status, StatusError, type Surroundings, type WorkContext } from "@uait/kit";
import type { Action } from "./action.js";
import { BudgetMeter } from "./budget.js";
import { OrchestratorError, toStatus } from "./error.js";
import { Degradations, failureOf } from "./failure.js";
import type { Journal } from "./journal.js";
import { learn } from "./learning.js";
import type { LiveWork } from "./live.js";
import { ModelMaker } from "./maker.js";
import { ModelTime } from "./model-time.js";
import type { Enrichment, Neighbours } from "./neighbours/ports.js";
import { NO_ENRICHMENT, Preparation } from "./preparation.js";
import { type EndFigures, RunFacts } from "./run-facts.js";
import type { RunJob } from "./run-job.js";
import type { RunStore } from "./run-store.js";
import type { Confinement } from "./sandbox/confinement.js";
import { VerifierScorer } from "./scorer.js";
import type { Planner, ScoredNode, SearchListener, SearchResult } from "./search.js";
import { runSearch } from "./search-loop.js";
import { lackOf } from "./surroundings.js";
import { judgesAmong, type Verifier } from "./verifiers/verifier.js";
import {
  type AgentsChosen,
  type Answer,
  BudgetLimit,
  type ContextGathered,
  type Degradation,
  Ending,
  type NodeFailed,
  type NodeScored,
  type NodeStarted,
  type NodeToken,
  type RunStartedEvent,
} from "./vocabulary.js";

/** What happens in a run. */
export type RunEvent =
  | { readonly $case: "started"; readonly value: RunStartedEvent }
  | { readonly $case: "context"; readonly value: ContextGathered }
  | { readonly $case: "agents"; readonly value: AgentsChosen }
  | { readonly $case: "node"; readonly value: NodeStarted }
  | { readonly $case: "token"; readonly value: NodeToken }
  | { readonly $case: "score"; readonly value: NodeScored }
  | { readonly $case: "nodeFailed"; readonly value: NodeFailed }
  | { readonly $case: "degraded"; readonly value: Degradation }
  | { readonly $case: "answer"; readonly value: Answer };

export interface RunnerOptions {
  readonly neighbours: Neighbours;
  readonly confinement: Confinement;
  readonly journal: Journal;
  readonly store: RunStore;
  /** Time that an optional neighbour has, ms, so that a run never hangs on one. */
  readonly neighbourTimeoutMs: number;
  /** Address of this replica. */
  readonly owner: string;
  /** Unix time in milliseconds. */
  readonly now: () => number;
  /** Milliseconds of a clock that never goes back. */
  readonly elapsed: () => number;
  readonly log: Logger;
  /** What the process can do without, and how it is now. */
  readonly surroundings: () => Surroundings;
}

/** Time for which an answer waits until the event log has it, ms. */
const STORE_PATIENCE_MS = 2000;

/** Runs tasks. */
export class Runner {
  readonly #options: RunnerOptions;

  constructor(options: RunnerOptions) {
    this.#options = options;
  }

  /**
   * Runs a task to its end, which its stream tells.
   *
   * @param from the tenant, trace and deadline of who asked; its signal is the run's
   */
  async run(job: RunJob, live: LiveWork<RunEvent>, from: WorkContext): Promise<void> {
    const run = new OneRun(this.#options, job, live, from);
    await run.execute();
  }
}

class OneRun {
  readonly #options: RunnerOptions;
  readonly #job: RunJob;
  readonly #live: LiveWork<RunEvent>;
  readonly #from: WorkContext;
  readonly #facts: RunFacts;
  readonly #meter: BudgetMeter;
  readonly #modelTime: ModelTime;
  readonly #degradations: Degradations;
  readonly #preparation: Preparation;
  readonly #beganMs: number;
  readonly #timeUp = new AbortController();
  #started = false;
  #nodes = 0;

  constructor(options: RunnerOptions, job: RunJob, live: LiveWork<RunEvent>, from: WorkContext) {
    this.#options = options;
    this.#job = job;
    this.#live = live;
    this.#from = from;
    this.#beganMs = options.elapsed();
    this.#meter = new BudgetMeter(job.limits);
    this.#modelTime = new ModelTime(options.elapsed);
    this.#degradations = new Degradations((value) => {
      // Before the run's first event nothing else may come: it is told right after it.
      if (this.#started) live.stream.append({ $case: "degraded", value });
    });
    const { journal, store, owner, now, log, neighbours, neighbourTimeoutMs } = options;
    const degradations = this.#degradations;
    this.#preparation = new Preparation({ job, neighbours, neighbourTimeoutMs, from, degradations, now });
    const onLost = (error: unknown) =>
      log.error("a fact of a run could not be stored", { run: job.runId, error: String(error) });
    this.#facts = new RunFacts({ job, journal, store, from, owner, now, onLost });
  }

  async execute(): Promise<void> {
    const timer = setTimeout(() => this.#timeUp.abort(), this.#job.limits.maxWallTimeMs);
    this.#look();
    try {
      await this.#search();
    } catch (error) {
      await this.#fail(error);
    } finally {
      clearTimeout(timer);
    }
  }

  async #search(): Promise<void> {
    const { signal } = this.#live;
    const enriching = this.#enrich();
    // Whatever becomes of it is heard below; until then it must not count as unheard.
    enriching.catch(() => undefined);
    const selection = await this.#preparation.select();
    const actions = new Map((await this.#preparation.actions(selection)).map((action) => [action.name, action]));
    const { planner, searchId } = await this.#preparation.plan(selection.taskType, [...actions.values()]);
    this.#start(selection.taskType, searchId);
    this.#live.stream.append({ $case: "agents", value: { choices: [...actions.values()].map(choiceOf) } });
    const enrichment = await enriching;
    signal.throwIfAborted();
    const result = await this.#loop(planner, actions, selection.taskType, enrichment);
    const best = await this.#settle(result);
    if (best === undefined) throw this.#failureOf(result);
    this.#look();
    const answer = this.#answer(best, result, actions, enrichment);
    await this.#finish(answer, actions.get(best.action)?.choice.arm.armId ?? "");
    await learn({
      job: this.#job,
      taskType: selection.taskType,
      selectionId: selection.selectionId,
      result,
      actions,
      answer,
      neighbours: this.#options.neighbours,
      from: this.#from,
      timeoutMs: this.#options.neighbourTimeoutMs,
      now: this.#options.now,
      log: this.#options.log,
    });
  }

  async #enrich(): Promise<Enrichment> {
    if (this.#job.context === undefined) return NO_ENRICHMENT;
    const began = this.#options.elapsed();
    const enrichment = await this.#preparation.enrich(this.#job.context);
    await this.#whenStarted;
    const { citations, tokens } = enrichment;
    const elapsed = millisToDuration(this.#options.elapsed() - began);
    this.#live.stream.append({ $case: "context", value: { citations, tokens, elapsed } });
    return enrichment;
  }

  #look(): void {
    for (const lack of lackOf(this.#options.surroundings())) this.#degradations.add(lack);
  }

  #start(taskType: string, searchId: string): void {
    const { limits } = this.#job;
    this.#facts.started(taskType, searchId);
    const budget = { ...limits, maxWallTime: millisToDuration(limits.maxWallTimeMs) };
    const { traceId } = this.#from.span;
    this.#live.stream.append({ $case: "started", value: { taskType, searchId, budget, traceId } });
    this.#started = true;
    for (const value of this.#degradations.all) this.#live.stream.append({ $case: "degraded", value });
    this.#markStarted();
  }

  #markStarted: () => void = () => undefined;
  readonly #whenStarted = new Promise<void>((resolve) => {
    this.#markStarted = resolve;
  });

  async #loop(
    planner: Planner,
    actions: ReadonlyMap<string, Action>,
    taskType: string,
    { text: context }: Enrichment,
  ): Promise<SearchResult> {
    const { task, instructions, output: constraint, limits, targetScore, parallel, seed, runId } = this.#job;
    const { neighbours, confinement, elapsed, now } = this.#options;
    const { models, programs } = neighbours;
    const shared = { programs, from: this.#from, modelTime: this.#modelTime, degradations: this.#degradations };
    const verifiers = verifiersOf(this.#job);
    const scorer = new VerifierScorer({ ...shared, verifiers, task, confinement, now });
    this.#scorer = scorer;
    return await runSearch({
      planner,
      maker: new ModelMaker({
        ...shared,
        actions,
        models,
        briefing: { task, instructions, context, judges: judgesAmong(verifiers) },
        constraint,
        seed,
        maxCostMicroUsd: limits.maxCostMicroUsd,
        runId,
        taskType,
      }),
      scorer,
      meter: this.#meter,
      listener: this.#listener(actions),
      actions: [...actions.keys()],
      parallel,
      targetScore,
      signal: this.#live.signal,
      timeUp: this.#timeUp.signal,
      now: elapsed,
    });
  }

  #scorer: VerifierScorer | undefined;

  #listener(actions: ReadonlyMap<string, Action>): SearchListener {
    const { stream } = this.#live;
    const actionOf = (name: string): Action => {
      const action = actions.get(name);
      if (action === undefined) throw new RangeError(`no action ${name}`);
      return action;
    };
    return {
      onNode: ({ nodeId, parentId, action, depth }) => {
        stream.append({ $case: "node", value: { nodeId, parentId, action, depth } });
      },
      onDelta: (nodeId, { text, tokens }) => {
        stream.append({ $case: "token", value: { nodeId, delta: { text, tokens, logprobs: [] } } }, nodeId);
      },
      onScore: (node, best, nodes) => {
        const { nodeId, score, verdicts, text, usage, model } = node;
        this.#nodes = nodes;
        stream.forgetPieces(nodeId);
        stream.append({ $case: "score", value: { nodeId, score, verdicts, text, usage, model, best, nodes } });
        this.#facts.scored(node, actionOf(node.action));
      },
      onFailure: (node) => {
        const { nodeId, failure, usage } = node;
        stream.forgetPieces(nodeId);
        stream.append({ $case: "nodeFailed", value: { nodeId, failure, usage } });
        this.#facts.failed(node, actionOf(node.action));
      },
    };
  }

  /** The best attempt, once all that depends on others is scored again. */
  async #settle({ nodes, best }: SearchResult): Promise<ScoredNode | undefined> {
    const settled = await this.#scorer?.settle(nodes, this.#live.signal);
    if (settled === undefined) return best;
    let top: ScoredNode | undefined;
    for (const [index, node] of nodes.entries()) {
      const { score, verdicts } = settled[index] ?? node;
      if (top === undefined || score > top.score) top = { ...node, score, verdicts };
    }
    return top;
  }

  #failureOf({ cause, endedBy }: SearchResult): unknown {
    if (cause !== undefined) return cause;
    const limitMs = this.#job.limits.maxWallTimeMs;
    if (endedBy === BudgetLimit.BUDGET_LIMIT_WALL_TIME) return new OrchestratorError({ kind: "time_spent", limitMs });
    return new Error("the search ended without an attempt");
  }

  #answer(
    best: ScoredNode,
    { endedBy }: SearchResult,
    actions: ReadonlyMap<string, Action>,
    { citations }: Enrichment,
  ): Answer {
    const { text, score, verdicts, nodeId, model } = best;
    const { usage, nodes, elapsedMs, modelTimeMs, degradations } = this.#figures();
    return {
      text,
      score,
      verdicts,
      nodeId,
      agent: actions.get(best.action)?.choice.agent ?? "",
      model,
      citations,
      usage,
      nodes,
      endedBy: endedBy ?? BudgetLimit.BUDGET_LIMIT_UNSPECIFIED,
      degraded: degradations.length > 0,
      degradations,
      elapsed: millisToDuration(elapsedMs),
      modelTime: millisToDuration(modelTimeMs),
      traceId: this.#from.span.traceId,
    };
  }

  #figures(): EndFigures {
    return {
      usage: this.#meter.usage,
      nodes: this.#nodes,
      elapsedMs: this.#options.elapsed() - this.#beganMs,
      modelTimeMs: this.#modelTime.elapsedMs,
      degradations: this.#degradations.all,
      // The end itself is the next event.
      sequence: this.#live.stream.sequence + 1n,
    };
  }

  async #finish(answer: Answer, armId: string): Promise<void> {
    const { stream } = this.#live;
    this.#facts.answered(answer, armId, this.#figures());
    if (!(await this.#isStored())) {
      this.#degradations.add({
        dependency: "nats",
        effect: "the run may not be found after a restart",
        failure: {
          code: 14,
          reason: "DEPENDENCY_UNAVAILABLE",
          message: "the event log has not stored it yet",
          fieldViolations: [],
        },
      });
    }
    const degradations = this.#degradations.all;
    const elapsed = millisToDuration(this.#options.elapsed() - this.#beganMs);
    const value = { ...answer, degradations, degraded: degradations.length > 0, elapsed };
    stream.append({ $case: "answer", value });
    stream.end();
  }

  async #fail(error: unknown): Promise<void> {
    const { log } = this.#options;
    const { signal } = this.#live;
    const reason: unknown = signal.aborted ? signal.reason : undefined;
    const cancelled = reason instanceof StatusError && reason.code === Status.CANCELLED;
    if (!this.#started) this.#facts.started(this.#job.taskType || "general", "");
    if (cancelled) this.#facts.ended(Ending.ENDING_CANCELLED, this.#figures());
    else {
      const cause = reason ?? error;
      const failure = failureOf(cause instanceof OrchestratorError ? toStatus(cause) : cause);
      log.warn("a run failed", { run: this.#job.runId, code: failure.code, error: String(error) });
      this.#facts.ended(Ending.ENDING_FAILED, this.#figures(), failure);
    }
    await this.#isStored();
    this.#live.stream.end(reason ?? error);
  }

  async #isStored(): Promise<boolean> {
    let timer: NodeJS.Timeout | undefined;
    const patience = new Promise<false>((resolve) => {
      timer = setTimeout(() => resolve(false), STORE_PATIENCE_MS);
    });
    try {
      return await Promise.race([this.#facts.stored(), patience]);
    } finally {
      clearTimeout(timer);
    }
  }
}

function choiceOf({ name, choice: { agent, expectedScore, why }, model }: Action) {
  return { action: name, agent, model, expectedScore, why };
}

function verifiersOf({ verifiers, output }: RunJob): readonly Verifier[] {
  if (verifiers.length > 0) return verifiers;
  if (output?.form?.$case === "jsonSchema") {
    return [{ name: "json_schema", weight: 1, check: { kind: "json_schema", schema: output.form.value } }];
  }
  return [{ name: "judge", weight: 1, check: { kind: "judge", criteria: "", reference: "", model: "" } }];
}
