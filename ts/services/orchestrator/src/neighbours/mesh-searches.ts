import { setTimeout as delay } from "node:timers/promises";
import { AbMctsServiceDefinition } from "@uait/gen/uait/ab_mcts/v1/ab_mcts.js";
import { type Outcome as MeshOutcome, type SearchSpec, SearchState } from "@uait/gen/uait/ab_mcts/v1/search.js";
import { type Mesh, type MeshClient, millisToDuration, type WorkContext } from "@uait/kit";
import { isTransient } from "../failure.js";
import { type Ask, type Outcome, type Planner, type PlanState, ROOT } from "../search.js";
import { BudgetLimit } from "../vocabulary.js";
import type { OpenSearch, Searches, SearchFeedback, SearchWish } from "./ports.js";

type Client = MeshClient<typeof AbMctsServiceDefinition>;

/** Waits before a search that cannot be created is tried again, ms: a run can do without. */
const CREATE_RETRY_MS = [50, 150] as const;
/** Waits before a search that cannot be reached is asked again, ms: its service is durable, and back within a second or two. */
const RETRY_MS = [50, 150, 400, 800] as const;
/** Time of one call, ms. */
const CALL_MS = 2000;
/** Longest state of a node, bytes. */
const MAX_STATE_BYTES = 262_144;
const LONGEST_TTL_MS = 24 * 3600 * 1000;

/** The service `ab-mcts`. */
export class MeshSearches implements Searches {
  readonly #client: Client;

  constructor(mesh: Mesh) {
    this.#client = mesh.client(AbMctsServiceDefinition);
  }

  async create(wish: SearchWish, from: WorkContext): Promise<OpenSearch> {
    const { requestId, runId, taskType, actions, seed, maxNodes, targetScore, maxDepth, askTtlMs, keepsTexts } = wish;
    return await this.open(
      requestId,
      {
        taskType,
        actions: actions.map(({ name, expectedScore }) => ({ name, expectedScore })),
        algorithm: undefined,
        seed,
        budget: { maxNodes, maxTokens: undefined, maxCostMicroUsd: undefined, maxWallTime: undefined },
        targetScore,
        // Refinements after the fresh attempt, whose depth is 1.
        maxDepth: maxDepth + 1,
        askTtl: millisToDuration(Math.min(askTtlMs, LONGEST_TTL_MS)),
        labels: { run: runId },
      },
      from,
      keepsTexts,
    );
  }

  /** Creates a search by its specification. */
  async open(requestId: string, spec: SearchSpec, from: WorkContext, keepsTexts = true): Promise<OpenSearch> {
    const { search } = await retrying(
      from.signal,
      () => this.#client.createSearch({ requestId, spec }, { from }),
      CREATE_RETRY_MS,
    );
    if (search === undefined) throw new Error("a search was created without being told");
    const { searchId } = search;
    return { searchId, planner: (work) => new MeshPlanner(this.#client, searchId, work, keepsTexts) };
  }

  async get(searchId: string, from: WorkContext) {
    const { search } = await this.#client.getSearch({ searchId }, { from });
    return search;
  }

  async feedback(feedback: SearchFeedback, from: WorkContext): Promise<void> {
    const { requestId, searchId, searchNodeId, reward, comment } = feedback;
    await this.#client.feedback({ requestId, searchId, nodeId: searchNodeId, reward, comment }, { from });
  }
}

/** Plans by a search of the mesh. */
export class MeshPlanner implements Planner {
  readonly #client: Client;
  readonly #searchId: string;
  readonly #keepsTexts: boolean;
  readonly #from: WorkContext;
  /** Our id of each node by the search's. */
  readonly #nodes = new Map<string, string>([[ROOT, ROOT]]);
  #asked = 0;

  constructor(client: Client, searchId: string, from: WorkContext, keepsTexts: boolean) {
    this.#keepsTexts = keepsTexts;
    this.#client = client;
    this.#searchId = searchId;
    this.#from = from;
  }

  async ask(count: number, signal: AbortSignal): Promise<PlanState & { readonly asks: readonly Ask[] }> {
    const request = { requestId: `${this.#searchId.slice(0, 54)}-${++this.#asked}`, searchId: this.#searchId, count };
    const answer = await retrying(signal, () => this.#client.ask(request, this.#options(signal)));
    const asks = answer.asks.map(({ askId, parent, action }) => ({
      nodeId: askId,
      parentId: this.#nodes.get(parent?.nodeId ?? ROOT) ?? ROOT,
      action,
      depth: (parent?.depth ?? 0) + 1,
    }));
    return { asks, ...stateOf(answer) };
  }

  async tell(
    outcome: Outcome,
    signal: AbortSignal,
  ): Promise<PlanState & { readonly searchNodeId?: string | undefined }> {
    const request = { searchId: this.#searchId, outcomes: [meshOutcome(outcome, this.#keepsTexts)] };
    const answer = await retrying(signal, () => this.#client.tell(request, this.#options(signal)));
    const result = answer.told[0]?.result;
    const searchNodeId = result?.$case === "node" ? result.value.nodeId : undefined;
    if (searchNodeId !== undefined) this.#nodes.set(searchNodeId, outcome.nodeId);
    return { searchNodeId, ...stateOf(answer) };
  }

  #options(signal: AbortSignal) {
    return { from: { ...this.#from, signal }, timeoutMs: CALL_MS };
  }
}

function stateOf({ state, endedBy }: { readonly state: SearchState; readonly endedBy: BudgetLimit }): PlanState {
  const limit = endedBy === BudgetLimit.BUDGET_LIMIT_UNSPECIFIED ? undefined : endedBy;
  return { ended: state === SearchState.SEARCH_STATE_ENDED, endedBy: limit };
}

function meshOutcome(outcome: Outcome, keepsTexts: boolean): MeshOutcome {
  if ("failure" in outcome) {
    return { askId: outcome.nodeId, outcome: { $case: "failed", value: outcome.failure } };
  }
  const { nodeId, score, text, usage } = outcome;
  const state = Buffer.from(keepsTexts ? text : "").subarray(0, MAX_STATE_BYTES);
  return { askId: nodeId, outcome: { $case: "scored", value: { score, state, usage } } };
}

async function retrying<Result>(
  signal: AbortSignal,
  call: () => Promise<Result>,
  waits: readonly number[] = RETRY_MS,
): Promise<Result> {
  for (const waitMs of waits) {
    try {
      return await call();
    } catch (error) {
      if (signal.aborted || !isTransient(error)) throw error;
      await delay(waitMs, undefined, { signal });
    }
  }
  return await call();
}
