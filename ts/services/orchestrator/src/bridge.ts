import type { WorkContext } from "@uait/kit";
import type { Action } from "./action.js";
import { BudgetMeter, type Limits } from "./budget.js";
import { Degradations } from "./failure.js";
import type { LiveWork } from "./live.js";
import { ModelMaker } from "./maker.js";
import { ModelTime } from "./model-time.js";
import type { Models, Programs } from "./neighbours/ports.js";
import type { Confinement } from "./sandbox/confinement.js";
import { VerifierScorer } from "./scorer.js";
import type { Planner } from "./search.js";
import { runSearch } from "./search-loop.js";
import { judgesAmong, type Verifier } from "./verifiers/verifier.js";
import type { NodeFailed, NodeScored, NodeStarted } from "./vocabulary.js";

/** What happens in a search that its caller steers. */
export type BridgeEvent =
  | { readonly $case: "node"; readonly value: NodeStarted }
  | { readonly $case: "score"; readonly value: NodeScored }
  | { readonly $case: "nodeFailed"; readonly value: NodeFailed }
  | { readonly $case: "ended"; readonly value: BridgeEnd };

export interface BridgeEnd {
  /** Text of the best node; empty where there is none. */
  readonly text: string;
  readonly elapsedMs: number;
  readonly modelTimeMs: number;
}

/** A search with every choice in the caller's hands. */
export interface BridgeJob {
  readonly runId: string;
  readonly prompt: string;
  /** Absent for the built-in instructions. */
  readonly refinement: string | undefined;
  readonly taskType: string;
  readonly actions: readonly Action[];
  readonly verifiers: readonly Verifier[];
  readonly limits: Limits;
  readonly targetScore: number;
  readonly parallel: number;
  readonly seed: bigint;
}

export interface BridgeOptions {
  readonly models: Models;
  readonly programs: Programs;
  readonly confinement: Confinement;
  /** Unix time in milliseconds. */
  readonly now: () => number;
  /** Milliseconds of a clock that never goes back. */
  readonly elapsed: () => number;
}

/** Runs a search by a planner, without context, agents or learning. Its stream tells how it goes and ends. */
export async function bridgeSearch(
  options: BridgeOptions,
  job: BridgeJob,
  planner: Planner,
  live: LiveWork<BridgeEvent>,
  from: WorkContext,
): Promise<void> {
  const { elapsed, now, confinement, models, programs } = options;
  const { stream } = live;
  const beganMs = elapsed();
  const modelTime = new ModelTime(elapsed);
  // Nothing here is optional: what is away fails the attempt or the search.
  const degradations = new Degradations(() => undefined);
  const shared = { programs, from, modelTime, degradations };
  const actions = new Map(job.actions.map((action) => [action.name, action]));
  const timeUp = new AbortController();
  const timer = setTimeout(() => timeUp.abort(), job.limits.maxWallTimeMs);
  try {
    const { best } = await runSearch({
      planner,
      maker: new ModelMaker({
        ...shared,
        actions,
        models,
        briefing: { task: job.prompt, instructions: "", context: "", judges: judgesAmong(job.verifiers) },
        constraint: undefined,
        refinement: job.refinement,
        seed: job.seed,
        maxCostMicroUsd: undefined,
        runId: job.runId,
        taskType: job.taskType,
      }),
      scorer: new VerifierScorer({
        ...shared,
        verifiers: job.verifiers,
        task: job.prompt,
        confinement,
        now,
      }),
      meter: new BudgetMeter(job.limits),
      listener: {
        onNode: ({ nodeId, parentId, action, depth }) =>
          stream.append({ $case: "node", value: { nodeId, parentId, action, depth } }),
        onDelta: () => undefined,
        onScore: ({ nodeId, score, verdicts, text, usage, model }, best, nodes) =>
          stream.append({ $case: "score", value: { nodeId, score, verdicts, text, usage, model, best, nodes } }),
        onFailure: ({ nodeId, failure, usage }) =>
          stream.append({ $case: "nodeFailed", value: { nodeId, failure, usage } }),
      },
      actions: [...actions.keys()],
      parallel: job.parallel,
      targetScore: job.targetScore,
      signal: live.signal,
      timeUp: timeUp.signal,
      now: elapsed,
    });
    const text = best?.text ?? "";
    const value = { text, elapsedMs: elapsed() - beganMs, modelTimeMs: modelTime.elapsedMs };
    stream.append({ $case: "ended", value });
    stream.end();
  } catch (error) {
    stream.end(live.signal.aborted ? live.signal.reason : error);
  } finally {
    clearTimeout(timer);
  }
}
