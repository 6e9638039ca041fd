import { createHash } from "node:crypto";
import { type Logger, Status, StatusError, type WorkContext } from "@uait/kit";
import { OrchestratorError } from "./error.js";
import type { Numbered } from "./event-stream.js";
import { failureOf } from "./failure.js";
import type { Journal } from "./journal.js";
import { shortId } from "./learning.js";
import { LiveWork, LiveWorks } from "./live.js";
import type { Neighbours } from "./neighbours/ports.js";
import type { RunJob } from "./run-job.js";
import type { Fact, RunFilter, RunPosition, RunRecord, RunStore } from "./run-store.js";
import type { RunEvent, Runner } from "./runner.js";
import { BudgetLimit, Ending, type Run, RunState } from "./vocabulary.js";

export interface RunsOptions {
  readonly runner: Runner;
  readonly store: RunStore;
  readonly journal: Journal;
  readonly neighbours: Neighbours;
  /** Address of this replica. */
  readonly owner: string;
  /** Time that a neighbour has to hear of feedback, ms. */
  readonly neighbourTimeoutMs: number;
  /** Unix time in milliseconds. */
  readonly now: () => number;
  readonly log: Logger;
}

export interface Feedback {
  readonly requestId: string;
  readonly runId: string;
  /** Empty for the answer's. */
  readonly nodeId: string;
  readonly reward: number;
  /** What would have been right; empty for nothing. */
  readonly correction: string;
  readonly comment: string;
}

/** Time for which a reader waits until the facts from before this process have been read, ms. */
const REPLAY_PATIENCE_MS = 5000;
/** Beyond its budget, ms, after which a run that nobody ended counts as lost. */
const LOST_AFTER_MS = 60_000;
/** Beyond a run's wall time, ms, within which its last calls must end. */
const DEADLINE_MARGIN_MS = 30_000;

/** The runs of this replica: those that go on, and those that the facts tell of. */
export class Runs {
  readonly #options: RunsOptions;
  readonly #live = new LiveWorks<RunEvent>();
  readonly #stop = new AbortController();
  #replayed: Promise<void> = Promise.resolve();

  constructor(options: RunsOptions) {
    this.#options = options;
  }

  /** Reads the facts from before, and ends the runs that this replica had left unfinished. Returns at once. */
  open(): void {
    const { journal, store, log } = this.#options;
    this.#replayed = journal
      .follow((recorded) => store.apply(recorded), this.#stop.signal)
      .then(() => this.#endLost())
      .catch((error: unknown) => log.error("the facts of runs could not be read", { error: String(error) }));
  }

  /** Ends the runs that go on without a caller, and returns when what all have taught has been told. */
  async close(): Promise<void> {
    await this.#live.end(draining());
    this.#stop.abort();
  }

  /** A run by its request's id, the same at every replica. */
  static idOf(tenant: string, requestId: string): string {
    return createHash("sha256").update(`run/${tenant}/${requestId}`).digest("base64url").slice(0, 22);
  }

  /**
   * Runs a task, or joins the run that the same request began.
   *
   * @throws OrchestratorError; what the run fails with; the reason of the caller's signal
   */
  async *run(
    job: RunJob,
    options: { readonly detached: boolean; readonly resumeAfter: bigint; readonly requestId: string },
    from: WorkContext,
  ): AsyncGenerator<Numbered<RunEvent>, void, undefined> {
    const { tenant } = from.identity;
    const key = `${tenant}/${job.runId}`;
    let live = this.#live.get(key);
    if (live === undefined) {
      await this.#patience();
      const record = this.#options.store.get(tenant, job.runId);
      live = this.#live.get(key);
      if (live === undefined && record !== undefined) {
        this.#requireSame(Buffer.from(record.digest).toString("base64"), job, options.requestId);
        return yield* this.#replayOf(record, options.resumeAfter);
      }
    }
    live ??= this.#begin(key, job, options.detached, from);
    this.#requireSame(live.digest, job, options.requestId);
    yield* live.watch(options.resumeAfter, from.signal);
  }

  async get(tenant: string, runId: string): Promise<Run> {
    return (await this.#record(tenant, runId)).run;
  }

  async list(tenant: string, filter: RunFilter, after: RunPosition | undefined, limit: number): Promise<Run[]> {
    await this.#patience();
    return this.#options.store.list(tenant, filter, after, limit);
  }

  /** Cancels a run; one that has ended stays as it is. */
  async cancel(tenant: string, runId: string): Promise<Run> {
    const { run } = await this.#record(tenant, runId);
    if (run.state !== RunState.RUN_STATE_RUNNING) return run;
    const live = this.#live.get(`${tenant}/${runId}`);
    if (live === undefined) throw new OrchestratorError({ kind: "run_elsewhere", runId });
    live.cancel();
    await live.done;
    return (await this.#record(tenant, runId)).run;
  }

  /** Records what an attempt turned out to be worth, and tells those who learn from it. Returns when it is stored. */
  async feedback(feedback: Feedback, from: WorkContext): Promise<Run> {
    const { store, journal } = this.#options;
    const { tenant, subject } = from.identity;
    const { runId, reward, requestId } = feedback;
    const record = await this.#record(tenant, runId);
    const nodeId = feedback.nodeId || record.run.answer?.nodeId;
    const { state, taskType, searchId } = record.run;
    if (nodeId === undefined) throw new OrchestratorError({ kind: "not_answered", runId, state: String(state) });
    const node = record.nodes.get(nodeId);
    if (node === undefined) throw new OrchestratorError({ kind: "node_missing", nodeId });
    const { agent, arm } = node;
    const fact: Fact = {
      $case: "runFeedbackGiven",
      value: { runId, taskType, nodeId, searchId, agent, armId: arm?.armId ?? "", reward, subject },
    };
    await journal.append(fact, `${runId}.feedback.${requestId}`, from);
    store.apply({ tenant, time: new Date(this.#options.now()), traceId: from.span.traceId, fact });
    await this.#teach(record, nodeId, feedback, from);
    return (await this.#record(tenant, runId)).run;
  }

  #begin(key: string, job: RunJob, detached: boolean, from: WorkContext): LiveWork<RunEvent> {
    const { runner, now } = this.#options;
    const live = new LiveWork<RunEvent>({ now, digest: job.digest, detached });
    const { tenant, subject, scopes } = from.identity;
    const work: WorkContext = {
      // Copied: the run may outlive the call that began it.
      identity: { tenant, subject, scopes: [...scopes] },
      span: from.span,
      signal: live.signal,
      deadlineMs: now() + job.limits.maxWallTimeMs + DEADLINE_MARGIN_MS,
    };
    this.#live.begin(key, live, () => runner.run(job, live, work));
    return live;
  }

  #requireSame(digest: string, job: RunJob, requestId: string): void {
    if (digest !== "" && digest !== job.digest) throw new OrchestratorError({ kind: "request_reused", requestId });
  }

  // What is left of a run that this process did not run: its beginning and its end.
  async *#replayOf({ run }: RunRecord, resumeAfter: bigint): AsyncGenerator<Numbered<RunEvent>, void, undefined> {
    const { runId, state, answer, failure, taskType, searchId, traceId } = run;
    const timeMs = run.createTime?.getTime() ?? 0;
    if (resumeAfter < 1n) {
      const value = { taskType, searchId, budget: undefined, traceId };
      yield { sequence: 1n, timeMs, event: { $case: "started", value } };
    }
    switch (state) {
      case RunState.RUN_STATE_ANSWERED: {
        if (answer === undefined) return;
        // The caller may have seen all but the answer, whose number comes after every other.
        const last = run.sequence > 1n ? run.sequence : 2n;
        if (resumeAfter >= last) return;
        yield { sequence: last, timeMs: run.endTime?.getTime() ?? timeMs, event: { $case: "answer", value: answer } };
        return;
      }
      case RunState.RUN_STATE_CANCELLED:
        throw new OrchestratorError({
          kind: "run_failed",
          code: 1,
          reason: "CANCELLED",
          message: "the run was cancelled",
        });
      case RunState.RUN_STATE_RUNNING:
        throw new OrchestratorError({ kind: "run_elsewhere", runId });
      default: {
        const { code, reason, message } = failure ?? failureOf(undefined);
        throw new OrchestratorError({ kind: "run_failed", code, reason, message });
      }
    }
  }

  async #record(tenant: string, runId: string): Promise<RunRecord> {
    const { store } = this.#options;
    const known = store.get(tenant, runId);
    if (known !== undefined) return known;
    await this.#patience();
    const record = store.get(tenant, runId);
    if (record === undefined) throw new OrchestratorError({ kind: "run_missing", runId });
    return record;
  }

  /** Waits for the facts from before, a while: with the event log away what is known is what this process ran. */
  async #patience(): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const patience = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, REPLAY_PATIENCE_MS);
    });
    await Promise.race([this.#replayed, patience]);
    clearTimeout(timer);
  }

  async #endLost(): Promise<void> {
    const { store, journal, owner, now, log } = this.#options;
    for (const { tenant, record } of store.running()) {
      const { run } = record;
      if (this.#live.get(`${tenant}/${run.runId}`) !== undefined) continue;
      if (record.owner !== owner && now() < record.limitMs + LOST_AFTER_MS) continue;
      const fact = lostFact(run);
      store.apply({ tenant, time: new Date(now()), traceId: run.traceId, fact });
      const from = {
        identity: { tenant, subject: "", scopes: [] },
        span: { traceId: "0".repeat(32), spanId: "0".repeat(16), traceFlags: 0 },
        signal: this.#stop.signal,
        deadlineMs: now() + LOST_AFTER_MS,
      };
      log.warn("a run was left unfinished", { run: run.runId, tenant });
      await journal.append(fact, `${run.runId}.ended`, from);
    }
  }

  async #teach(record: RunRecord, nodeId: string, feedback: Feedback, from: WorkContext): Promise<void> {
    const { neighbours, neighbourTimeoutMs, now, log } = this.#options;
    const { reward, comment, runId } = feedback;
    const { searchId, taskType } = record.run;
    const node = record.nodes.get(nodeId);
    const work = {
      ...from,
      deadlineMs: Math.min(from.deadlineMs ?? Number.POSITIVE_INFINITY, now() + neighbourTimeoutMs),
    };
    const requestId = shortId(`${runId}/feedback/${feedback.requestId}`);
    const told: Promise<void>[] = [];
    if (node?.arm !== undefined) {
      told.push(neighbours.parameters.recordFeedback({ requestId, taskType, arm: node.arm, reward, runId }, work));
    }
    if (searchId !== "" && node !== undefined && node.searchNodeId !== "") {
      const { searchNodeId } = node;
      told.push(neighbours.searches.feedback({ requestId, searchId, searchNodeId, reward, comment }, work));
    }
    const { task } = record.run;
    if (feedback.correction !== "" && task !== "") {
      const text = `Task: ${task}\nRight answer: ${feedback.correction}`;
      told.push(neighbours.knowledge.store({ kind: "correction", requestId, runId, text, taskType, score: 1 }, work));
    }
    for (const each of await Promise.allSettled(told)) {
      // The fact is stored, and those who were away learn from the event log.
      if (each.status === "rejected") log.warn("feedback was not heard", { run: runId, error: String(each.reason) });
    }
  }
}

/** What a run ends with whose replica ends. */
export function draining(): StatusError {
  return StatusError.of({
    code: Status.UNAVAILABLE,
    reason: "DRAINING",
    message: "the orchestrator ended while the run was going on; run the task again",
  });
}

function lostFact({ runId, taskType, nodes, usage, degradations, sequence }: Run): Fact {
  const failure = failureOf(draining());
  return {
    $case: "runEnded",
    value: {
      runId,
      taskType,
      ending: Ending.ENDING_FAILED,
      answer: "",
      score: 0,
      nodeId: "",
      agent: "",
      armId: "",
      nodes,
      endedBy: BudgetLimit.BUDGET_LIMIT_UNSPECIFIED,
      usage,
      elapsed: undefined,
      degradations,
      failure,
      verdicts: [],
      citations: [],
      modelTime: undefined,
      sequence: sequence + 1n,
    },
  };
}
