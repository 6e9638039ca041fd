import { setTimeout as delay } from "node:timers/promises";
import type { BucketEntry, Logger } from "@uait/kit";
import { type Limits, NOTHING, PERIODS, type Period, reached, type Spent, sum, windowOf } from "./budget.js";
import { RouterError } from "./error.js";
import type { StoredBudget, StoredLedger, Stores } from "./store.js";

/** A budget with what was used of it. */
export interface BudgetStatus extends Limits {
  readonly budgetId: string;
  readonly used: Spent;
  readonly resetMs: number;
  readonly etag: string;
}

/** What changes a budget. */
export interface BudgetChange extends Limits {
  readonly budgetId: string;
  readonly requestId: string;
  /** Of the whole request. */
  readonly fingerprint: string;
  /** Empty to change whatever is there. */
  readonly etag: string;
}

/** How long NATS is waited for, in milliseconds. */
export interface BudgetPatience {
  /** By a call, for the budgets to be read when the process has only begun. */
  readonly loadMs: number;
  /** By what writes a ledger, each time it tries. */
  readonly flushMs: number;
}

const MAX_BUDGETS = 100;
const MAX_REQUESTS = 64;
const DAY_MS = 86_400_000;
const FLUSH_RETRY_MS = 1000;
const PATIENCE: BudgetPatience = { loadMs: 2000, flushMs: 5000 };

/**
 * The tenants' budgets. What was used is counted in JetStream, one ledger a tenant, by every replica; what is not there yet is
 * counted here. Budgets that were read once hold while NATS is away.
 */
export class Budgets {
  readonly #stores: Stores;
  readonly #now: () => number;
  readonly #log: Logger;
  readonly #stop = new AbortController();
  readonly #durable: boolean;
  readonly #patience: BudgetPatience;
  /** What is not in the ledger yet, by tenant. */
  readonly #pending = new Map<string, Map<string, Spent>>();
  readonly #flushing = new Map<string, Promise<void>>();

  constructor(options: {
    readonly stores: Stores;
    readonly now: () => number;
    readonly log: Logger;
    /** False where the event log is off: then there are no budgets, and nothing to count for them. */
    readonly durable?: boolean;
    readonly patience?: BudgetPatience;
  }) {
    this.#stores = options.stores;
    this.#durable = options.durable ?? true;
    this.#patience = options.patience ?? PATIENCE;
    this.#now = options.now;
    this.#log = options.log;
  }

  /**
   * Lets a call pass while none of the tenant's budgets is spent.
   *
   * @throws RouterError `budget_exhausted`; StatusError DEPENDENCY_UNAVAILABLE when no budget could be read since the start
   */
  async admit(tenant: string): Promise<void> {
    const { budgets, ledgers } = this.#stores;
    if (!budgets.loaded || !ledgers.loaded) {
      const signal = AbortSignal.timeout(this.#patience.loadMs);
      await Promise.all([budgets.untilLoaded(signal), ledgers.untilLoaded(signal)]);
    }
    const now = this.#now();
    for (const { budgetId, used, resetMs, ...limits } of this.list(tenant)) {
      const limit = reached(limits, used);
      if (limit === undefined) continue;
      throw new RouterError({ kind: "budget_exhausted", budget: budgetId, limit, resetMs: resetMs - now });
    }
  }

  /** The tenant's budgets, by id. */
  list(tenant: string): BudgetStatus[] {
    const found = this.#stores.budgets.entries(`${tenant}.`).map((entry) => this.#status(tenant, entry));
    return found.sort((a, b) => (a.budgetId < b.budgetId ? -1 : 1));
  }

  /** Sets a budget; a repeat of the request within a day changes nothing. @throws RouterError, StatusError */
  async set(tenant: string, change: BudgetChange, signal: AbortSignal): Promise<BudgetStatus> {
    const { budgets } = this.#stores;
    await budgets.untilLoaded(signal);
    const key = `${tenant}.${change.budgetId}`;
    for (;;) {
      const known = budgets.get(key);
      const before = known?.value.requests.find(({ requestId }) => requestId === change.requestId);
      if (before !== undefined && known !== undefined) {
        if (before.fingerprint !== change.fingerprint)
          throw new RouterError({ kind: "request_id_reused", requestId: change.requestId });
        return this.#status(tenant, known);
      }
      const etag = known === undefined ? "" : String(known.revision);
      if (change.etag !== "" && change.etag !== etag) throw new RouterError({ kind: "etag_mismatch", etag });
      if (known === undefined && budgets.entries(`${tenant}.`).length >= MAX_BUDGETS)
        throw new RouterError({ kind: "budget_quota", limit: MAX_BUDGETS });
      const value = this.#changed(known?.value, change);
      const entry = await budgets.write({ key, value, expected: known?.revision ?? 0, signal });
      if (entry !== undefined) return this.#status(tenant, entry);
    }
  }

  /** Counts what a call used. */
  charge(tenant: string, spent: Spent): void {
    if (!this.#durable) return;
    const now = this.#now();
    const pending = this.#pending.get(tenant) ?? new Map<string, Spent>();
    this.#pending.set(tenant, pending);
    for (const period of PERIODS) {
      const key = pendingKey(period, windowOf(period, now).startMs);
      pending.set(key, sum(pending.get(key) ?? NOTHING, spent));
    }
    if (!this.#flushing.has(tenant)) this.#flushing.set(tenant, this.#flush(tenant));
  }

  /** Returns when all that was charged is in the ledgers, or NATS does not take it. */
  async settle(): Promise<void> {
    this.#stop.abort();
    await Promise.all(this.#flushing.values());
  }

  #changed(known: StoredBudget | undefined, change: BudgetChange): StoredBudget {
    const { period, maxCostMicroUsd, maxTokens, requestId, fingerprint } = change;
    const now = this.#now();
    const recent = (known?.requests ?? []).filter(({ atMs }) => atMs > now - DAY_MS).slice(1 - MAX_REQUESTS);
    return {
      period,
      ...(maxCostMicroUsd === undefined ? {} : { maxCostMicroUsd }),
      ...(maxTokens === undefined ? {} : { maxTokens }),
      requests: [...recent, { requestId, fingerprint, atMs: now }],
    };
  }

  #status(tenant: string, { key, value, revision }: BucketEntry<StoredBudget>): BudgetStatus {
    const { period, maxCostMicroUsd, maxTokens } = value;
    const { startMs, endMs } = windowOf(period, this.#now());
    const stored = this.#stores.ledgers.get(tenant)?.value[period];
    const pending = this.#pending.get(tenant)?.get(pendingKey(period, startMs)) ?? NOTHING;
    return {
      budgetId: key.slice(tenant.length + 1),
      period,
      maxCostMicroUsd,
      maxTokens,
      used: stored?.startMs === startMs ? sum(stored.spent, pending) : pending,
      resetMs: endMs,
      etag: String(revision),
    };
  }

  // One at a time for each tenant: what comes meanwhile goes along with the next.
  async #flush(tenant: string): Promise<void> {
    const { ledgers } = this.#stores;
    let stopped = false;
    let complained = false;
    while ((this.#pending.get(tenant)?.size ?? 0) > 0 && !stopped) {
      stopped = this.#stop.signal.aborted;
      const signal = AbortSignal.timeout(this.#patience.flushMs);
      try {
        await ledgers.untilLoaded(signal);
        const batch = new Map(this.#pending.get(tenant));
        const known = ledgers.get(tenant);
        const value = added(known?.value, batch);
        if ((await ledgers.write({ key: tenant, value, expected: known?.revision ?? 0, signal })) !== undefined)
          this.#subtract(tenant, batch);
        stopped = false;
        complained = false;
      } catch (error) {
        if (!complained) this.#log.warn("what was used is not in the ledger yet", { tenant, error });
        complained = true;
        await delay(FLUSH_RETRY_MS, undefined, { signal: this.#stop.signal }).catch(() => undefined);
      }
    }
    this.#flushing.delete(tenant);
  }

  #subtract(tenant: string, batch: ReadonlyMap<string, Spent>): void {
    const pending = this.#pending.get(tenant);
    for (const [key, spent] of batch) {
      const left = difference(pending?.get(key) ?? NOTHING, spent);
      if (left.calls === 0) pending?.delete(key);
      else pending?.set(key, left);
    }
    if (pending?.size === 0) this.#pending.delete(tenant);
  }
}

function pendingKey(period: Period, startMs: number): string {
  return `${period} ${startMs}`;
}

function difference(a: Spent, b: Spent): Spent {
  const negative: Spent = {
    inputTokens: -b.inputTokens,
    cachedInputTokens: -b.cachedInputTokens,
    outputTokens: -b.outputTokens,
    reasoningTokens: -b.reasoningTokens,
    calls: -b.calls,
    costMicroUsd: -b.costMicroUsd,
  };
  return sum(a, negative);
}

/** A ledger with a batch added: a newer window takes the place of the one before, an older one is past. */
function added(known: StoredLedger | undefined, batch: ReadonlyMap<string, Spent>): StoredLedger {
  const windows: Record<Period, StoredLedger[Period]> = {
    hour: known?.hour ?? { startMs: 0, spent: NOTHING },
    day: known?.day ?? { startMs: 0, spent: NOTHING },
    month: known?.month ?? { startMs: 0, spent: NOTHING },
  };
  for (const [key, spent] of batch) {
    const [period, start] = key.split(" ") as [Period, string];
    const startMs = Number(start);
    const window = windows[period];
    if (window.startMs === startMs) windows[period] = { startMs, spent: sum(window.spent, spent) };
    else if (window.startMs < startMs) windows[period] = { startMs, spent };
  }
  return windows;
}
