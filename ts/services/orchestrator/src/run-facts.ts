import { Buffer } from "node:buffer";
import { millisToDuration, type WorkContext } from "@uait/kit";
import type { Action } from "./action.js";
import type { Journal } from "./journal.js";
import type { RunJob } from "./run-job.js";
import type { Fact, RunStore } from "./run-store.js";
import type { FailedNode, ScoredNode } from "./search.js";
import {
  type Answer,
  type Arm,
  BudgetLimit,
  type Degradation,
  Ending,
  type Failure,
  type Usage,
} from "./vocabulary.js";

export interface RunFactsOptions {
  readonly job: RunJob;
  readonly journal: Journal;
  readonly store: RunStore;
  /** The tenant and trace of the run. */
  readonly from: WorkContext;
  /** Address of this replica. */
  readonly owner: string;
  /** Unix time in milliseconds. */
  readonly now: () => number;
  readonly onLost: (error: unknown) => void;
}

/** Time for which a fact is tried to be stored, ms: as long as a restart of the event log may take. */
const STORE_MS = 60_000;
/** Longest text in a fact, bytes. */
const MAX_TEXT_BYTES = 65_536;
const LONGEST_ARM_ID = 64;

/** How a run ended, beside its answer. */
export interface EndFigures {
  readonly usage: Usage;
  readonly nodes: number;
  readonly elapsedMs: number;
  readonly modelTimeMs: number;
  readonly degradations: Degradation[];
  readonly sequence: bigint;
}

/** Writes a run's facts, in order: known here at once, and stored in the background. */
export class RunFacts {
  readonly #options: RunFactsOptions;
  readonly #never = new AbortController().signal;
  #stored: Promise<void> = Promise.resolve();
  #lost = false;
  #taskType = "";

  constructor(options: RunFactsOptions) {
    this.#options = options;
  }

  started(taskType: string, searchId: string): void {
    const { job, owner, from } = this.#options;
    this.#taskType = taskType;
    this.#write("started", {
      $case: "runStarted",
      value: {
        runId: job.runId,
        taskType,
        task: job.forgotten ? "" : job.task,
        searchId,
        subject: from.identity.subject,
        budget: {
          maxNodes: job.limits.maxNodes,
          maxTokens: job.limits.maxTokens,
          maxCostMicroUsd: job.limits.maxCostMicroUsd,
          maxWallTime: millisToDuration(job.limits.maxWallTimeMs),
        },
        labels: { ...job.labels },
        requestDigest: Buffer.from(job.digest, "base64"),
        owner,
      },
    });
  }

  scored(node: ScoredNode, action: Action): void {
    const { job } = this.#options;
    this.#write(node.nodeId, {
      $case: "runNodeAdded",
      value: {
        ...this.#node(node, action, node.model),
        outcome: { $case: "score", value: node.score },
        text: job.forgotten ? "" : clipBytes(node.text),
        searchNodeId: node.searchNodeId,
      },
    });
  }

  failed(node: FailedNode, action: Action): void {
    this.#write(node.nodeId, {
      $case: "runNodeAdded",
      value: {
        ...this.#node(node, action, action.model),
        outcome: { $case: "failure", value: node.failure },
        text: "",
        searchNodeId: "",
      },
    });
  }

  answered(answer: Answer, armId: string, figures: EndFigures): void {
    const { job } = this.#options;
    const { score, nodeId, agent, endedBy } = answer;
    const texts = job.forgotten
      ? { answer: "", verdicts: [], citations: [] }
      : { answer: clipBytes(answer.text), verdicts: answer.verdicts, citations: answer.citations };
    this.#end(Ending.ENDING_ANSWERED, figures, { score, nodeId, agent, endedBy, armId, ...texts });
  }

  ended(ending: Ending, figures: EndFigures, failure?: Failure): void {
    this.#end(ending, figures, {
      answer: "",
      score: 0,
      nodeId: "",
      agent: "",
      armId: "",
      endedBy: BudgetLimit.BUDGET_LIMIT_UNSPECIFIED,
      verdicts: [],
      citations: [],
      failure,
    });
  }

  /** Returns whether everything written so far has been stored. */
  async stored(): Promise<boolean> {
    await this.#stored;
    return !this.#lost;
  }

  #node(node: ScoredNode | FailedNode, { choice }: Action, model: string) {
    const { nodeId, parentId, usage, latencyMs } = node;
    const arm: Arm = {
      armId: choice.arm.armId.slice(0, LONGEST_ARM_ID),
      parameters: { prompt: "", extra: {}, sampling: undefined, ...choice.arm.parameters, model },
    };
    const { runId } = this.#options.job;
    const latency = millisToDuration(latencyMs);
    const { agent, propensity } = choice;
    return { runId, taskType: this.#taskType, nodeId, parentId, agent, arm, propensity, usage, latency };
  }

  #end(
    ending: Ending,
    { usage, nodes, elapsedMs, modelTimeMs, degradations, sequence }: EndFigures,
    outcome: Pick<Answer, "score" | "nodeId" | "agent" | "endedBy" | "verdicts" | "citations"> & {
      readonly answer: string;
      readonly armId: string;
      readonly failure?: Failure | undefined;
    },
  ): void {
    const { runId } = this.#options.job;
    const elapsed = millisToDuration(elapsedMs);
    const modelTime = millisToDuration(modelTimeMs);
    this.#write("ended", {
      $case: "runEnded",
      value: {
        failure: undefined,
        ...outcome,
        runId,
        taskType: this.#taskType,
        ending,
        usage,
        nodes,
        elapsed,
        modelTime,
        degradations,
        sequence,
      },
    });
  }

  #write(key: string, fact: Fact): void {
    const { job, journal, store, from, now, onLost } = this.#options;
    store.apply({ tenant: from.identity.tenant, time: new Date(now()), traceId: from.span.traceId, fact });
    const work = { ...from, signal: this.#never, deadlineMs: now() + STORE_MS };
    this.#stored = this.#stored
      .then(() => journal.append(fact, `${job.runId}.${key}`, work))
      .catch((error: unknown) => {
        this.#lost = true;
        onLost(error);
      });
  }
}

/** A text of at most 64 KiB in UTF-8, cut between characters. */
function clipBytes(text: string): string {
  const bytes = Buffer.from(text);
  if (bytes.length <= MAX_TEXT_BYTES) return text;
  return new TextDecoder().decode(bytes.subarray(0, MAX_TEXT_BYTES), { stream: true });
}
