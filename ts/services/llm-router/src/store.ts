import type { Bucket, EventLog } from "@uait/kit";
import { z } from "zod";
import { PERIODS } from "./budget.js";

const count = z.int().min(0);
const spent = z.object({
  inputTokens: count,
  cachedInputTokens: count,
  outputTokens: count,
  reasoningTokens: count,
  calls: count,
  costMicroUsd: count,
});
const spentWindow = z.object({ startMs: count, spent });
const ledger = z.object({ hour: spentWindow, day: spentWindow, month: spentWindow });

const budget = z.object({
  period: z.enum(PERIODS),
  maxCostMicroUsd: count.optional(),
  maxTokens: count.optional(),
  /** Requests that set it within the last day, the newest last: a repeat changes nothing. */
  requests: z.array(z.object({ requestId: z.string(), fingerprint: z.string(), atMs: count })),
});

/** A budget as it is stored. */
export type StoredBudget = z.infer<typeof budget>;
/** What a tenant used in the present window of each period. */
export type StoredLedger = z.infer<typeof ledger>;

/** What the router keeps in JetStream. */
export interface Stores {
  /** By `<tenant>.<budget_id>`. */
  readonly budgets: Bucket<StoredBudget>;
  /** By tenant. */
  readonly ledgers: Bucket<StoredLedger>;
}

export function openStores(events: EventLog): Stores {
  return {
    budgets: events.bucket({ name: "uait_llm_budgets", schema: budget }),
    ledgers: events.bucket({ name: "uait_llm_ledgers", schema: ledger }),
  };
}
