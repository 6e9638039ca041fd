import { Logger, MemoryBucket, openEvents, Status, startTelemetry } from "@uait/kit";
import { NatsServer, testConfig, waitUntil } from "@uait/kit/testing";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { NOTHING, type Spent, windowOf } from "./budget.js";
import { type BudgetChange, Budgets } from "./budgets.js";
import { RouterError } from "./error.js";
import { openStores, type StoredBudget, type StoredLedger, type Stores } from "./store.js";

const NOON = Date.UTC(2026, 10, 24, 12, 30);
const HOUR = 3_600_000;
const signal = AbortSignal.timeout(60_000);
const log = Logger.create({ service: "test", instance: "test", logLevel: "error" }, () => undefined);

let nats: NatsServer;
beforeAll(async () => {
  nats = await NatsServer.start();
});
afterAll(() => nats?.stop());

const closing: (() => Promise<void>)[] = [];
afterAll(() => Promise.all(closing.map((close) => close())));

async function inJetStream(): Promise<Stores> {
  const config = testConfig({ UAIT_NATS_URL: nats.url });
  const events = openEvents({ config, telemetry: await startTelemetry(config, () => undefined) });
  closing.push(() => events.close());
  const stores = openStores(events);
  await Promise.all([stores.budgets.untilLoaded(signal), stores.ledgers.untilLoaded(signal)]);
  return stores;
}
const inMemory = async (): Promise<Stores> => ({
  budgets: new MemoryBucket<StoredBudget>(),
  ledgers: new MemoryBucket<StoredLedger>(),
});

const used = (inputTokens: number, costMicroUsd = 0): Spent => ({ ...NOTHING, inputTokens, costMicroUsd, calls: 1 });
const change = (over: Partial<BudgetChange> = {}): BudgetChange => ({
  budgetId: "main",
  requestId: "r1",
  fingerprint: "f1",
  period: "day",
  maxCostMicroUsd: undefined,
  maxTokens: 100,
  etag: "",
  ...over,
});

let number = 0;
const places: [string, () => Promise<Stores>][] = [
  ["in memory", inMemory],
  ["in JetStream", inJetStream],
];

describe.for(places)("budgets %s", ([, open]) => {
  let stores: Stores;
  let budgets: Budgets;
  let tenant: string;
  let nowMs: number;
  const again = () => new Budgets({ stores, now: () => nowMs, log });
  beforeEach(async () => {
    stores = await open();
    nowMs = NOON;
    tenant = `acme-${number++}`;
    budgets = again();
  });
  const settled = (amount: number) =>
    waitUntil("it is in the ledger", () => stores.ledgers.get(tenant)?.value.day.spent.inputTokens === amount);

  test("call_passes_until_the_budget_is_spent", async () => {
    await budgets.set(tenant, change(), signal);
    budgets.charge(tenant, used(99));
    await budgets.admit(tenant);
    budgets.charge(tenant, used(1));
    await expect(budgets.admit(tenant)).rejects.toMatchObject({
      failure: { kind: "budget_exhausted", budget: "main", limit: "100 tokens in a day", resetMs: 11.5 * HOUR },
    });
    await budgets.admit(`${tenant}-other`);
  });

  test("what_was_used_before_the_budget_counts", async () => {
    budgets.charge(tenant, used(100));
    await budgets.set(tenant, change(), signal);
    await expect(budgets.admit(tenant)).rejects.toThrow(RouterError);
  });

  test("cost_is_a_limit_of_its_own", async () => {
    await budgets.set(tenant, change({ maxTokens: undefined, maxCostMicroUsd: 10 }), signal);
    budgets.charge(tenant, used(1_000_000, 9));
    await budgets.admit(tenant);
    budgets.charge(tenant, used(0, 1));
    await expect(budgets.admit(tenant)).rejects.toMatchObject({ failure: { limit: "10 micro-USD in a day" } });
  });

  test("next_window_begins_at_zero", async () => {
    await budgets.set(tenant, change(), signal);
    budgets.charge(tenant, used(100));
    await settled(100);
    nowMs += 12 * HOUR;
    await budgets.admit(tenant);
    budgets.charge(tenant, used(7));
    await settled(7);
    expect(budgets.list(tenant)[0]?.used.inputTokens).toBe(7);
  });

  test("what_was_used_outlives_the_process_and_is_shared_by_replicas", async () => {
    await budgets.set(tenant, change(), signal);
    const other = again();
    for (let index = 0; index < 20; index++) (index % 2 === 0 ? budgets : other).charge(tenant, used(5));
    await Promise.all([budgets.settle(), other.settle()]);
    expect(stores.ledgers.get(tenant)?.value.day.spent).toMatchObject({ inputTokens: 100, calls: 20 });
    await expect(again().admit(tenant)).rejects.toThrow(RouterError);
  });

  test("repeat_changes_nothing_and_another_request_with_its_id_is_refused", async () => {
    const first = await budgets.set(tenant, change(), signal);
    const second = await budgets.set(tenant, change({ requestId: "r2", fingerprint: "f2", maxTokens: 5 }), signal);
    expect(await budgets.set(tenant, change(), signal)).toEqual(second);
    expect(second.etag).not.toBe(first.etag);
    await expect(budgets.set(tenant, change({ fingerprint: "f3" }), signal)).rejects.toMatchObject({
      failure: { kind: "request_id_reused" },
    });
  });

  test("etag_of_an_older_version_is_refused", async () => {
    const { etag } = await budgets.set(tenant, change(), signal);
    await budgets.set(tenant, change({ requestId: "r2", etag }), signal);
    await expect(budgets.set(tenant, change({ requestId: "r3", etag }), signal)).rejects.toMatchObject({
      failure: { kind: "etag_mismatch" },
    });
  });

  test("budgets_of_a_tenant_are_bounded", async () => {
    for (let index = 0; index < 100; index++)
      await budgets.set(tenant, change({ budgetId: `b${index}`, requestId: `q${index}` }), signal);
    await expect(budgets.set(tenant, change({ budgetId: "more", requestId: "q" }), signal)).rejects.toMatchObject({
      failure: { kind: "budget_quota", limit: 100 },
    });
    expect(budgets.list(tenant).length).toBe(100);
  });
});

test("nats_away_since_the_start_admits_nobody_and_away_later_keeps_what_is_known", async () => {
  const server = await NatsServer.start();
  const config = testConfig({ UAIT_NATS_URL: server.url });
  const telemetry = await startTelemetry(config, () => undefined);
  const events = openEvents({ config, telemetry });
  const options = { now: () => NOON, log };
  const patience = { loadMs: 10_000, flushMs: 200 };
  const budgets = new Budgets({ ...options, stores: openStores(events), patience });
  await budgets.set("acme", change({ maxTokens: 10 }), signal);
  await budgets.admit("acme");
  await server.kill();
  const late = openEvents({ config, telemetry });
  const begun = new Budgets({ ...options, stores: openStores(late), patience: { ...patience, loadMs: 200 } });
  await expect(begun.admit("acme")).rejects.toMatchObject({
    code: Status.UNAVAILABLE,
    metadata: { dependency: "nats" },
  });
  budgets.charge("acme", used(4));
  await budgets.admit("acme");
  budgets.charge("acme", used(6));
  await expect(budgets.admit("acme")).rejects.toThrow(RouterError);
  await Promise.all([late.close(), budgets.settle()]);
  await events.close();
  await server.stop();
});

test.for([
  ["hour", "2026-11-24T12:00:00.000Z", "2026-11-24T13:00:00.000Z"],
  ["day", "2026-11-24T00:00:00.000Z", "2026-11-25T00:00:00.000Z"],
  ["month", "2026-11-01T00:00:00.000Z", "2026-12-01T00:00:00.000Z"],
] as const)("window_of_%s", ([period, start, end]) => {
  const { startMs, endMs } = windowOf(period, NOON);
  expect([new Date(startMs).toISOString(), new Date(endMs).toISOString()]).toEqual([start, end]);
});
