import { createHash } from "node:crypto";
import type { WorkContext } from "@uait/kit";
import { SelectionError } from "./error.js";
import type { LearnedParameters } from "./neighbours/ports.js";
import { type Outcome, rewardOf } from "./outcome.js";
import type { Selections } from "./selections.js";
import type { Posterior, Usage } from "./vocabulary.js";

export interface OutcomeReport {
  readonly requestId: string;
  readonly selectionId: string;
  readonly agent: string;
  readonly armId: string;
  readonly outcome: Outcome;
  readonly latencyMs: number | undefined;
  readonly usage: Usage | undefined;
}

export interface LearningOptions {
  readonly parameters: LearnedParameters;
  readonly selections: Selections;
  /** How long a selection that this process does not know is waited for, while its memory is still being read. */
  readonly loadTimeoutMs: number;
}

/** Turns outcomes into feedback of arms. */
export class Learning {
  readonly #options: LearningOptions;

  constructor(options: LearningOptions) {
    this.#options = options;
  }

  /**
   * Learns from an outcome, and returns what is believed now. A failure that is not the agent's changes nothing.
   *
   * @throws SelectionError for a selection or an arm that is not known; StatusError when it cannot be stored
   */
  async record(report: OutcomeReport, from: WorkContext): Promise<Posterior | undefined> {
    const { parameters, selections, loadTimeoutMs } = this.#options;
    const { requestId, selectionId, agent, armId, outcome, latencyMs, usage } = report;
    const signal = AbortSignal.timeout(loadTimeoutMs);
    const selection = await selections.get(from.identity.tenant, selectionId, signal);
    if (selection === undefined) throw new SelectionError({ kind: "selection_missing", selectionId });
    const choice = selection.choices.find((each) => each.agent === agent && each.armId === armId);
    if (choice === undefined) throw new SelectionError({ kind: "not_selected", agent, armId });
    const { taskType } = selection;
    const { model, prompt, propensity } = choice;
    const reward = rewardOf(outcome);
    if (reward === undefined) return await parameters.believed(taskType, armId, from);
    return await parameters.record(
      {
        requestId: feedbackId(requestId),
        taskType,
        parameters: { model, prompt, sampling: undefined, extra: {} },
        reward,
        propensity,
        latencyMs,
        usage,
      },
      from,
    );
  }
}

/** The id of the feedback of an outcome: its own, so that it meets no other feedback of the tenant. */
export function feedbackId(requestId: string): string {
  return createHash("sha256").update(`agent-selector/RecordOutcome/${requestId}`).digest("base64url");
}
