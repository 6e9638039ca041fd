import { Detail, type OrchestratorServiceImplementation } from "@uait/gen/uait/orchestrator/v1/orchestrator.js";
import type { Idempotency, KitContext, ServerCallContext, WorkContext } from "@uait/kit";
import { pageTokenOf, positionIn } from "./page-token.js";
import { jobOf, requireWellFormed } from "./request.js";
import { positionOf } from "./run-store.js";
import type { RunEvent } from "./runner.js";
import { Runs } from "./runs.js";
import type { Confinement } from "./sandbox/confinement.js";

export interface HandlerOptions {
  readonly runs: Runs;
  readonly confinement: Confinement;
  readonly idempotency: Idempotency;
  /** Unix time in milliseconds. */
  readonly now: () => number;
}

const DEFAULT_PAGE_SIZE = 100;

/** The handlers of OrchestratorService. */
export function createHandler(options: HandlerOptions): OrchestratorServiceImplementation<ServerCallContext> {
  const { runs, confinement, idempotency, now } = options;
  return {
    async *run(request, context) {
      const { requestId, detached, resumeAfter, detail } = request;
      const runId = Runs.idOf(context.identity.tenant, requestId);
      const job = jobOf(request, runId, context.deadlineMs, now());
      await requireWellFormed(job, confinement, context.signal);
      for await (const { sequence, timeMs, event } of runs.run(
        job,
        { detached, resumeAfter, requestId },
        workOf(context),
      )) {
        if (isWanted(event, detail)) yield { sequence, time: new Date(timeMs), runId, event };
      }
    },

    async getRun({ runId }, { identity }) {
      return { run: await runs.get(identity.tenant, runId) };
    },

    async listRuns({ state, taskType, pageSize, pageToken }, { identity }) {
      const filter = { state, taskType };
      const size = pageSize || DEFAULT_PAGE_SIZE;
      // One more than the page holds tells whether there is another.
      const found = await runs.list(identity.tenant, filter, positionIn(pageToken, filter), size + 1);
      const page = found.slice(0, size);
      const last = page.at(-1);
      return {
        runs: page.map((run) => (run.answer === undefined ? run : { ...run, answer: { ...run.answer, text: "" } })),
        nextPageToken: found.length > size && last !== undefined ? pageTokenOf(positionOf(last), filter) : "",
      };
    },

    async cancelRun(request, context) {
      return await idempotency.run(
        { rpc: "uait.orchestrator.v1.OrchestratorService/CancelRun", request, from: workOf(context) },
        async ({ identity }) => ({ run: await runs.cancel(identity.tenant, request.runId) }),
      );
    },

    async recordFeedback(request, context) {
      return await idempotency.run(
        { rpc: "uait.orchestrator.v1.OrchestratorService/RecordFeedback", request, from: workOf(context) },
        async (from) => ({ run: await runs.feedback(request, from) }),
      );
    },
  };
}

/** What work on a call's behalf needs of it. */
export function workOf({ identity, deadlineMs, signal, span }: KitContext): WorkContext {
  return { identity, deadlineMs, signal, span };
}

function isWanted({ $case }: RunEvent, detail: Detail): boolean {
  switch (detail) {
    case Detail.DETAIL_TOKENS:
      return true;
    case Detail.DETAIL_ANSWER:
      return $case === "started" || $case === "degraded" || $case === "answer";
    default:
      return $case !== "token";
  }
}
