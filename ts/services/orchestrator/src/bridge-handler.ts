import type { Search, SearchSpec } from "@uait/gen/uait/ab_mcts/v1/search.js";
import type {
  AbMctsBridgeServiceImplementation,
  AbMctsBridgeServiceOrchestrateRequest,
  AbMctsBridgeServiceOrchestrateRequest_ModelAction as ModelAction,
} from "@uait/gen/uait/orchestrator/v1/ab_mcts_bridge.js";
import { durationToMillis, fingerprintOf, millisToDuration, type ServerCallContext, type WorkContext } from "@uait/kit";
import type { Action } from "./action.js";
import { type BridgeEvent, type BridgeJob, type BridgeOptions, bridgeSearch } from "./bridge.js";
import type { Limits } from "./budget.js";
import { OrchestratorError } from "./error.js";
import { workOf } from "./handler.js";
import { LiveWork, type LiveWorks } from "./live.js";
import type { MeshSearches } from "./neighbours/mesh-searches.js";
import { requireWellFormed, verifierOf } from "./request.js";
import { DEFAULT_PARALLEL } from "./run-job.js";
import { Runs } from "./runs.js";

export interface BridgeHandlerOptions extends BridgeOptions {
  readonly searches: MeshSearches;
  readonly works: LiveWorks<BridgeEvent>;
}

const DAY_MS = 24 * 3600 * 1000;
const DEFAULT_MAX_NODES = 10_000;
/** More than a search can use: the largest limit of a budget, and then some. */
const UNLIMITED = 2n ** 62n;
/** Above every score. */
const NO_TARGET = Number.POSITIVE_INFINITY;
const DEADLINE_MARGIN_MS = 30_000;

/** The handlers of AbMctsBridgeService. */
export function createBridgeHandler(
  options: BridgeHandlerOptions,
): AbMctsBridgeServiceImplementation<ServerCallContext> {
  const { searches, works, confinement, now } = options;
  /** The search of each work, for the events and the end. */
  const searchOf = new WeakMap<LiveWork<BridgeEvent>, Promise<string>>();

  function begin(
    key: string,
    request: AbMctsBridgeServiceOrchestrateRequest,
    spec: SearchSpec,
    job: BridgeJob,
    digest: string,
    from: WorkContext,
  ): LiveWork<BridgeEvent> {
    const live = new LiveWork<BridgeEvent>({ now, digest, detached: false });
    const deadlineMs = now() + job.limits.maxWallTimeMs + DEADLINE_MARGIN_MS;
    const work = { ...from, signal: live.signal, deadlineMs };
    const opened = searches.open(request.requestId, spec, work);
    const searchId = opened.then((search) => search.searchId);
    // Whoever listens hears of it by the stream.
    searchId.catch(() => undefined);
    searchOf.set(live, searchId);
    works.begin(key, live, async () => {
      try {
        const { planner } = await opened;
        await bridgeSearch(options, job, planner(work), live, work);
      } catch (error) {
        live.stream.end(error);
      }
    });
    return live;
  }

  return {
    async *orchestrate(request, context) {
      const { spec, verifiers, requestId, resumeAfter } = request;
      if (spec === undefined) throw new RangeError("a request without a specification passed validation");
      const { tenant } = context.identity;
      const job = jobOf(request, spec, Runs.idOf(tenant, `bridge/${requestId}`));
      await requireWellFormed({ verifiers: verifiers.map(verifierOf) }, confinement, context.signal);
      const key = `${tenant}/${requestId}`;
      const digest = fingerprintOf({ ...request, resumeAfter: 0n });
      const from = workOf(context);
      const live = works.get(key) ?? begin(key, request, spec, job, digest, from);
      if (live.digest !== digest) throw new OrchestratorError({ kind: "request_reused", requestId });
      for await (const { sequence, timeMs, event } of live.watch(resumeAfter, context.signal)) {
        const searchId = (await searchOf.get(live)) ?? "";
        const time = new Date(timeMs);
        if (event.$case !== "ended") {
          yield { sequence, time, searchId, event };
          continue;
        }
        const search = await searches.get(searchId, from);
        yield { sequence, time, searchId, event: { $case: "ended", value: endOf(event.value, search) } };
      }
    },
  };
}

function endOf({ text, elapsedMs, modelTimeMs }: Extract<BridgeEvent, { $case: "ended" }>["value"], search?: Search) {
  return { search, text, elapsed: millisToDuration(elapsedMs), modelTime: millisToDuration(modelTimeMs) };
}

function jobOf(request: AbMctsBridgeServiceOrchestrateRequest, spec: SearchSpec, runId: string): BridgeJob {
  const { prompt, refinement, verifiers, parallel, actions } = request;
  const named = new Set(actions.map(({ name }) => name));
  if (named.size !== actions.length) throw conflict("actions", "two have the same name");
  if (named.size !== spec.actions.length || spec.actions.some(({ name }) => !named.has(name))) {
    throw conflict("spec.actions", "they are not those of `actions`");
  }
  return {
    runId,
    prompt,
    refinement: refinement === "" ? undefined : refinement,
    taskType: spec.taskType,
    actions: actions.map(actionOf),
    verifiers: verifiers.map(verifierOf),
    limits: limitsOf(spec),
    targetScore: spec.targetScore ?? NO_TARGET,
    parallel: parallel || DEFAULT_PARALLEL,
    seed: spec.seed,
  };
}

function actionOf({ name, model, sampling, system }: ModelAction): Action {
  const arm = { armId: name, parameters: { model, prompt: "direct", sampling, extra: {} } };
  return {
    name,
    choice: { agent: "direct", arm, expectedScore: 0, propensity: 0, observations: 0, why: "" },
    method: { kind: "model", prompt: "direct" },
    model,
    sampling,
    instructions: system,
  };
}

// The search ends itself by its budget; what is not limited there is not limited here.
function limitsOf({ budget }: SearchSpec): Limits {
  return {
    maxNodes: budget?.maxNodes ?? DEFAULT_MAX_NODES,
    maxTokens: budget?.maxTokens ?? UNLIMITED,
    maxCostMicroUsd: budget?.maxCostMicroUsd ?? UNLIMITED,
    maxWallTimeMs: budget?.maxWallTime === undefined ? DAY_MS : durationToMillis(budget.maxWallTime),
  };
}

function conflict(field: string, message: string): OrchestratorError {
  return new OrchestratorError({ kind: "value_conflict", field, message });
}
