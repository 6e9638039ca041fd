import { addUsage, NO_USAGE } from "./usage.js";
import {
  type Arm,
  Ending,
  type Run,
  type RunEnded,
  type RunFeedbackGiven,
  type RunNodeAdded,
  type RunStarted,
  RunState,
} from "./vocabulary.js";

/** What the journal says of a run. */
export type Fact =
  | { readonly $case: "runStarted"; readonly value: RunStarted }
  | { readonly $case: "runNodeAdded"; readonly value: RunNodeAdded }
  | { readonly $case: "runEnded"; readonly value: RunEnded }
  | { readonly $case: "runFeedbackGiven"; readonly value: RunFeedbackGiven };

/** A fact with whom and when it concerns. */
export interface Recorded {
  readonly tenant: string;
  readonly time: Date;
  /** W3C trace id; empty when it was not traced. */
  readonly traceId: string;
  readonly fact: Fact;
}

/** An attempt of a run, as far as feedback needs it. */
export interface NodeRecord {
  readonly nodeId: string;
  readonly agent: string;
  readonly arm: Arm | undefined;
  readonly searchNodeId: string;
  readonly latencyMs: number;
}

/** A run with what is known of it beside what its reader is told. */
export interface RunRecord {
  readonly run: Run;
  /** SHA-256 of the request; empty in facts that are older than this field. */
  readonly digest: Uint8Array;
  /** Address of the replica that runs it. */
  readonly owner: string;
  /** Unix time in milliseconds at which its budget ends. */
  readonly limitMs: number;
  readonly nodes: ReadonlyMap<string, NodeRecord>;
}

interface MutableRecord extends RunRecord {
  run: Run;
  readonly nodes: Map<string, NodeRecord>;
}

export interface RunFilter {
  readonly state: RunState;
  /** Empty for all. */
  readonly taskType: string;
}

/** A place in a tenant's list of runs. */
export interface RunPosition {
  readonly createMs: number;
  readonly runId: string;
}

export interface RunStoreOptions {
  /** Most runs that are held in memory; the oldest go first, and stay in the event log. */
  readonly capacity: number;
}

/** Runs as the facts add up to them, by tenant. Facts may come twice, and later ones before earlier ones. */
export class RunStore {
  readonly #capacity: number;
  readonly #runs = new Map<string, MutableRecord>();

  constructor({ capacity }: RunStoreOptions) {
    this.#capacity = capacity;
  }

  apply({ tenant, time, traceId, fact }: Recorded): void {
    const key = keyOf(tenant, fact.value.runId);
    if (fact.$case === "runStarted") {
      if (!this.#runs.has(key)) this.#add(key, started(fact.value, time, traceId));
      return;
    }
    const record = this.#runs.get(key);
    if (record === undefined) return;
    switch (fact.$case) {
      case "runNodeAdded":
        addNode(record, fact.value);
        break;
      case "runEnded":
        if (record.run.state === RunState.RUN_STATE_RUNNING) record.run = ended(record, fact.value, time);
        break;
      case "runFeedbackGiven":
        // Whatever attempt is meant, it says what the run was worth only if it is the answer's.
        if (fact.value.nodeId === record.run.answer?.nodeId) record.run = { ...record.run, reward: fact.value.reward };
        break;
    }
  }

  get(tenant: string, runId: string): RunRecord | undefined {
    return this.#runs.get(keyOf(tenant, runId));
  }

  /** Runs after a place, the newest first. */
  list(tenant: string, filter: RunFilter, after: RunPosition | undefined, limit: number): Run[] {
    const prefix = keyOf(tenant, "");
    const found: Run[] = [];
    for (const [key, { run }] of this.#runs) {
      if (!key.startsWith(prefix)) continue;
      if (filter.state !== RunState.RUN_STATE_UNSPECIFIED && run.state !== filter.state) continue;
      if (filter.taskType !== "" && run.taskType !== filter.taskType) continue;
      if (after !== undefined && newestFirst(positionOf(run), after) <= 0) continue;
      found.push(run);
    }
    return found.sort((a, b) => newestFirst(positionOf(a), positionOf(b))).slice(0, limit);
  }

  /** Every run that goes on, with its tenant. */
  running(): { readonly tenant: string; readonly record: RunRecord }[] {
    const found: { readonly tenant: string; readonly record: RunRecord }[] = [];
    for (const [key, record] of this.#runs) {
      if (record.run.state !== RunState.RUN_STATE_RUNNING) continue;
      found.push({ tenant: key.slice(0, key.indexOf("/")), record });
    }
    return found;
  }

  #add(key: string, record: MutableRecord): void {
    this.#runs.set(key, record);
    if (this.#runs.size <= this.#capacity) return;
    for (const [oldest, { run }] of this.#runs) {
      if (run.state === RunState.RUN_STATE_RUNNING) continue;
      this.#runs.delete(oldest);
      return;
    }
  }
}

/** Place of a run in a list. */
export function positionOf({ createTime, runId }: Run): RunPosition {
  return { createMs: createTime?.getTime() ?? 0, runId };
}

// No tenant has a slash in its name.
function keyOf(tenant: string, runId: string): string {
  return `${tenant}/${runId}`;
}

function newestFirst(a: RunPosition, b: RunPosition): number {
  return b.createMs - a.createMs || (a.runId < b.runId ? 1 : a.runId > b.runId ? -1 : 0);
}

function started(fact: RunStarted, time: Date, traceId: string): MutableRecord {
  const wallTime = fact.budget?.maxWallTime;
  const wallMs = wallTime === undefined ? 0 : Number(wallTime.seconds) * 1000 + wallTime.nanos / 1e6;
  return {
    digest: fact.requestDigest,
    owner: fact.owner,
    limitMs: time.getTime() + wallMs,
    nodes: new Map(),
    run: {
      runId: fact.runId,
      state: RunState.RUN_STATE_RUNNING,
      task: fact.task,
      taskType: fact.taskType,
      searchId: fact.searchId,
      nodes: 0,
      usage: NO_USAGE,
      answer: undefined,
      failure: undefined,
      degradations: [],
      subject: fact.subject,
      labels: fact.labels,
      traceId,
      sequence: 0n,
      createTime: time,
      endTime: undefined,
    },
  };
}

function addNode(record: MutableRecord, fact: RunNodeAdded): void {
  if (record.nodes.has(fact.nodeId)) return;
  const { latency } = fact;
  record.nodes.set(fact.nodeId, {
    nodeId: fact.nodeId,
    agent: fact.agent,
    arm: fact.arm,
    searchNodeId: fact.searchNodeId,
    latencyMs: latency === undefined ? 0 : Number(latency.seconds) * 1000 + latency.nanos / 1e6,
  });
  const { run } = record;
  if (run.state !== RunState.RUN_STATE_RUNNING) return;
  record.run = {
    ...run,
    nodes: run.nodes + (fact.outcome?.$case === "score" ? 1 : 0),
    usage: addUsage(run.usage ?? NO_USAGE, fact.usage ?? NO_USAGE),
  };
}

function ended({ run, nodes }: MutableRecord, fact: RunEnded, time: Date): Run {
  const { degradations, usage, sequence, elapsed } = fact;
  const common = { ...run, degradations, usage, sequence, nodes: fact.nodes, endTime: time };
  switch (fact.ending) {
    case Ending.ENDING_ANSWERED:
      return {
        ...common,
        state: RunState.RUN_STATE_ANSWERED,
        answer: {
          text: fact.answer,
          score: fact.score,
          verdicts: fact.verdicts,
          nodeId: fact.nodeId,
          agent: fact.agent,
          model: nodes.get(fact.nodeId)?.arm?.parameters?.model ?? "",
          citations: fact.citations,
          usage,
          nodes: fact.nodes,
          endedBy: fact.endedBy,
          degraded: degradations.length > 0,
          degradations,
          elapsed,
          modelTime: fact.modelTime,
          traceId: run.traceId,
        },
      };
    case Ending.ENDING_CANCELLED:
      return { ...common, state: RunState.RUN_STATE_CANCELLED };
    default:
      return { ...common, state: RunState.RUN_STATE_FAILED, failure: fact.failure };
  }
}
