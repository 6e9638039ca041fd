import type { Event } from "@uait/gen/uait/event/v1/event.js";
import type { EventLog, WorkContext } from "@uait/kit";
import type { Journal } from "./journal.js";
import type { Fact, Recorded } from "./run-store.js";

/** Area of the event log that holds the facts of runs. */
export const RUN_AREA = "run";

/** The facts of runs in the stream UAIT_RUN, where others learn from them too. */
export class EventJournal implements Journal {
  readonly #events: Pick<EventLog, "publish" | "replay">;

  constructor(events: Pick<EventLog, "publish" | "replay">) {
    this.#events = events;
  }

  async append(fact: Fact, key: string, from: WorkContext): Promise<void> {
    await this.#events.publish({ area: RUN_AREA, payload: fact, requestId: key, from });
  }

  async follow(listener: (recorded: Recorded) => void, signal: AbortSignal): Promise<void> {
    await this.#events.replay(RUN_AREA, (event) => {
      const recorded = recordedOf(event);
      if (recorded !== undefined && !signal.aborted) listener(recorded);
    });
  }
}

function recordedOf({ tenant, time, traceparent, payload }: Event): Recorded | undefined {
  switch (payload?.$case) {
    case "runStarted":
    case "runNodeAdded":
    case "runEnded":
    case "runFeedbackGiven":
      return { tenant, time: time ?? new Date(0), traceId: traceparent.split("-")[1] ?? "", fact: payload };
    default:
      return undefined;
  }
}
