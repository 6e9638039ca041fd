import { NOTHING, type Spent, sum } from "./budget.js";

/** What usage is grouped by. */
export type UsageDimension = "model" | "upstream" | "task_type" | "agent" | "subject" | "run";

/** A call of a model, as the event log has it. */
export interface LoggedCall {
  readonly atMs: number;
  readonly dimensions: Readonly<Record<UsageDimension, string>>;
  readonly spent: Spent;
  /** Which attempt of the router's it was, from 1. */
  readonly attempt: number;
  /** Whether it failed, and not because its caller went. */
  readonly failed: boolean;
  /** The same for all attempts of one request. */
  readonly request: string;
}

/** A sum. */
export interface UsageRow {
  readonly startMs: number;
  /** Number of the span in the query, from 0. */
  readonly span: number;
  /** Values of the dimensions that are grouped by, in their order. */
  readonly group: readonly string[];
  readonly spent: Spent;
  /** Requests that failed at every model, at the place of the last of them. */
  readonly failedCalls: number;
}

export interface UsageQuery {
  readonly startMs: number;
  readonly endMs: number;
  /** Length of a span; `undefined` for one over the whole. */
  readonly stepMs: number | undefined;
  readonly groupBy: readonly UsageDimension[];
}

/** Adds calls up. */
export class UsageSums {
  readonly #query: UsageQuery;
  readonly #rows = new Map<string, { -readonly [Field in keyof UsageRow]: UsageRow[Field] }>();
  /** Failed attempts of each request that no other attempt followed yet, by number. */
  readonly #open = new Map<string, Map<number, LoggedCall>>();

  constructor(query: UsageQuery) {
    this.#query = query;
  }

  /** Adds a call; calls come in the order in which they ended. */
  add(call: LoggedCall): void {
    if (call.atMs < this.#query.startMs || call.atMs >= this.#query.endMs) return;
    const row = this.#rowOf(call);
    row.spent = sum(row.spent, call.spent);
    const open = this.#open.get(call.request);
    open?.delete(call.attempt - 1);
    if (call.failed) this.#open.set(call.request, (open ?? new Map()).set(call.attempt, call));
    else if (open?.size === 0) this.#open.delete(call.request);
  }

  /** The sums. */
  rows(): UsageRow[] {
    for (const attempts of this.#open.values()) for (const call of attempts.values()) this.#rowOf(call).failedCalls++;
    this.#open.clear();
    return [...this.#rows.values()];
  }

  #rowOf({ atMs, dimensions }: LoggedCall) {
    const { startMs, stepMs, groupBy } = this.#query;
    const span = stepMs === undefined ? 0 : Math.floor((atMs - startMs) / stepMs);
    const group = groupBy.map((each) => dimensions[each]);
    const key = JSON.stringify([span, ...group]);
    const row = this.#rows.get(key) ?? {
      startMs: startMs + span * (stepMs ?? 0),
      span,
      group,
      spent: NOTHING,
      failedCalls: 0,
    };
    this.#rows.set(key, row);
    return row;
  }
}

/** By time, then by group; the same on every page, although a range that ends now moves on. */
export function rowKey({ span, group }: UsageRow): string {
  return [String(span).padStart(12, "0"), ...group].join("\u0000");
}
