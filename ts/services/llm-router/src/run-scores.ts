import type { Event } from "@uait/gen/uait/event/v1/event.js";
import type { Quality } from "./quality.js";

/** Area of the event log from which the router learns how models score. */
export const RUN_AREA = "run";

/** Handles the events of runs: what an attempt scored is what its model scored in that kind of task. */
export function createRunHandler(quality: Quality): (event: Event) => void {
  return ({ tenant, payload }) => {
    if (payload?.$case !== "runNodeAdded") return;
    const { taskType, arm, outcome } = payload.value;
    const model = arm?.parameters?.model ?? "";
    if (outcome?.$case === "score" && model !== "") quality.record(tenant, taskType, model, outcome.value);
  };
}
