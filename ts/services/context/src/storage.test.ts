import { ContextKind } from "@uait/gen/uait/context/v1/context_storage.js";
import type { Value } from "@uait/gen/uait/types/v1/value.js";
import { Filter_Comparison } from "@uait/gen/uait/types/v1/value.js";
import { Status } from "@uait/kit";
import { failureOf, freePort } from "@uait/kit/testing";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type FakeMemory, startFakeMemory } from "./testing/memory.js";
import { as, openClients, startService } from "./testing/service.js";

let memory: FakeMemory;
let service: Awaited<ReturnType<typeof startService>>;
let clients: ReturnType<typeof openClients>;

beforeAll(async () => {
  memory = await startFakeMemory();
  service = await startService(memory.address);
  clients = openClients(service.address);
});

afterAll(async () => {
  clients.close();
  await service.drain();
  await memory.drain();
});

const text = (value: string): Value => ({ kind: { $case: "text", value } });
const RUN = ContextKind.CONTEXT_KIND_RUN;

let requests = 0;
const fresh = () => `r${++requests}`;

async function store(tenant: string, more: Partial<Parameters<typeof clients.storage.storeContext>[0]> = {}) {
  const request = { requestId: fresh(), kind: RUN, text: "The build takes four minutes.", ...more };
  const { context } = await clients.storage.storeContext(request, { metadata: as(tenant) });
  if (context === undefined) throw new Error("no context came back");
  return context;
}

test("context_is_read_as_it_was_stored", async () => {
  const expireTime = new Date("2027-01-01T00:00:00Z");
  const properties = { language: text("go"), attempts: { kind: { $case: "integer", value: 3n } } as const };
  const stored = await store("acme", { sessionId: "s1", tags: ["build", "ci"], properties, expireTime });
  expect(stored).toMatchObject({
    kind: RUN,
    sessionId: "s1",
    text: "The build takes four minutes.",
    tags: ["build", "ci"],
    properties,
    tokens: 7,
    expireTime,
  });
  const { context } = await clients.storage.getContext({ contextId: stored.contextId }, { metadata: as("acme") });
  expect(context).toEqual(stored);
});

test("repeat_of_a_request_stores_nothing_more_and_another_request_with_its_id_is_refused", async () => {
  const requestId = fresh();
  const first = await store("repeat", { requestId });
  expect(await store("repeat", { requestId })).toEqual(first);
  const failure = await failureOf((options) =>
    clients.storage.storeContext({ requestId, kind: RUN, text: "other" }, { ...options, metadata: as("repeat") }),
  );
  expect(failure).toMatchObject({
    code: Status.INVALID_ARGUMENT,
    reason: "REQUEST_ID_REUSED",
    metadata: { request_id: requestId },
  });
});

test("context_of_another_tenant_and_a_plain_memory_are_not_there", async () => {
  const { contextId } = await store("acme");
  const plain = memory.remember("acme", { text: "a fact" });
  for (const [tenant, id] of [
    ["globex", contextId],
    ["acme", plain.memoryId],
    ["acme", "nothing"],
  ] as const) {
    const calls = [
      () => failureOf((options) => clients.storage.getContext({ contextId: id }, { ...options, metadata: as(tenant) })),
      () =>
        failureOf((options) =>
          clients.storage.updateContext(
            { requestId: fresh(), contextId: id, text: "x" },
            { ...options, metadata: as(tenant) },
          ),
        ),
      () =>
        failureOf((options) =>
          clients.storage.deleteContext({ requestId: fresh(), contextId: id }, { ...options, metadata: as(tenant) }),
        ),
    ];
    for (const call of calls) {
      expect(await call()).toMatchObject({
        code: Status.NOT_FOUND,
        reason: "RESOURCE_NOT_FOUND",
        metadata: { resource: "context", name: id },
      });
    }
  }
});

test("update_changes_what_is_present_and_keeps_kind_and_session", async () => {
  const stored = await store("acme", { sessionId: "s2", tags: ["a"], properties: { old: text("1") } });
  const update = (more: object) =>
    clients.storage.updateContext(
      { requestId: fresh(), contextId: stored.contextId, ...more },
      { metadata: as("acme") },
    );
  const { context: changed } = await update({ properties: { properties: { new: text("2") } } });
  expect(changed).toMatchObject({ kind: RUN, sessionId: "s2", tags: ["a"], properties: { new: text("2") } });
  expect(changed?.properties).not.toHaveProperty("old");
  expect(changed?.etag).not.toBe(stored.etag);
  const { context: emptied } = await update({ text: "Two minutes.", tags: { tags: [] } });
  expect(emptied).toMatchObject({ text: "Two minutes.", tags: [], properties: { new: text("2") }, sessionId: "s2" });
});

test("update_and_delete_of_another_version_are_aborted", async () => {
  const { contextId, etag } = await store("acme");
  const { context } = await clients.storage.updateContext(
    { requestId: fresh(), contextId, text: "newer", etag },
    { metadata: as("acme") },
  );
  const expected = { code: Status.ABORTED, reason: "ETAG_MISMATCH", metadata: { etag: context?.etag } };
  expect(
    await failureOf((options) =>
      clients.storage.updateContext(
        { requestId: fresh(), contextId, text: "x", etag },
        { ...options, metadata: as("acme") },
      ),
    ),
  ).toMatchObject(expected);
  expect(
    await failureOf((options) =>
      clients.storage.deleteContext({ requestId: fresh(), contextId, etag }, { ...options, metadata: as("acme") }),
    ),
  ).toMatchObject(expected);
});

test("delete_repeated_with_its_id_is_still_done", async () => {
  const { contextId } = await store("acme");
  const request = { requestId: fresh(), contextId };
  await clients.storage.deleteContext(request, { metadata: as("acme") });
  expect(await clients.storage.deleteContext(request, { metadata: as("acme") })).toEqual({});
  const failure = await failureOf((options) =>
    clients.storage.getContext({ contextId }, { ...options, metadata: as("acme") }),
  );
  expect(failure.code).toBe(Status.NOT_FOUND);
});

test("search_finds_contexts_only_by_kind_session_tags_and_properties", async () => {
  const tenant = "search";
  memory.remember(tenant, { text: "the build of the ship" });
  const one = await store(tenant, { sessionId: "s1", tags: ["ci"], text: "the build failed at noon" });
  const two = await store(tenant, { kind: ContextKind.CONTEXT_KIND_ERROR, text: "the build", sessionId: "s2" });
  const three = await store(tenant, { properties: { language: text("go") }, text: "build of go" });
  const search = async (more: object) => {
    const { hits } = await clients.storage.searchContext({ query: "the build", ...more }, { metadata: as(tenant) });
    return hits.map(({ context }) => context?.contextId);
  };
  expect(await search({})).toEqual([one.contextId, two.contextId, three.contextId]);
  expect(await search({ kinds: [ContextKind.CONTEXT_KIND_ERROR] })).toEqual([two.contextId]);
  expect(await search({ sessionId: "s1" })).toEqual([one.contextId]);
  expect(await search({ tags: ["ci"] })).toEqual([one.contextId]);
  const language = { property: "language", comparison: Filter_Comparison.COMPARISON_EQUAL, value: text("go") };
  expect(await search({ filter: { all: [{ any: [language] }] } })).toEqual([three.contextId]);
  expect(await search({ minScore: 0.9 })).toEqual([one.contextId, two.contextId]);
  expect(await search({ limit: 1 })).toEqual([one.contextId]);
});

test("properties_of_the_service_can_be_neither_set_nor_filtered_by", async () => {
  const property = "uait_context_kind";
  const set = await failureOf((options) =>
    clients.storage.storeContext(
      { requestId: fresh(), kind: RUN, text: "x", properties: { [property]: text("error") } },
      { ...options, metadata: as("acme") },
    ),
  );
  expect(set).toMatchObject({
    code: Status.INVALID_ARGUMENT,
    reason: "VALUE_CONFLICT",
    metadata: { field: "properties" },
  });
  const condition = { property, comparison: Filter_Comparison.COMPARISON_PRESENT };
  const filtered = await failureOf((options) =>
    clients.storage.searchContext(
      { query: "x", filter: { all: [{ any: [condition] }] } },
      { ...options, metadata: as("acme") },
    ),
  );
  expect(filtered).toMatchObject({ reason: "VALUE_CONFLICT", metadata: { field: "filter" } });
});

test("filter_that_leaves_no_room_for_kind_and_session_is_refused", async () => {
  const clause = { any: [{ property: "a", comparison: Filter_Comparison.COMPARISON_ABSENT }] };
  const search = (clauses: number, options = {}) =>
    clients.storage.searchContext(
      { query: "x", sessionId: "s", filter: { all: Array.from({ length: clauses }, () => clause) } },
      { ...options, metadata: as("acme") },
    );
  expect((await search(14)).hits).toEqual([]);
  expect(await failureOf((options) => search(15, options))).toMatchObject({
    code: Status.INVALID_ARGUMENT,
    reason: "VALUE_CONFLICT",
    message: "filter: 15 clauses, must be at most 14 beside kind and session",
  });
});

test("stats_count_the_contexts_of_the_tenant_and_no_other_memory", async () => {
  const tenant = "stats";
  for (let index = 0; index < 205; index++) memory.remember(tenant, { text: "a fact" });
  await store(tenant, { text: "größer" });
  await store(tenant, { text: "ab", kind: ContextKind.CONTEXT_KIND_PROJECT });
  await store(tenant, { text: "cd", kind: ContextKind.CONTEXT_KIND_PROJECT });
  const stats = await clients.storage.getStats({}, { metadata: as(tenant) });
  expect(stats).toEqual({
    contexts: 3n,
    textBytes: 12n,
    kinds: [
      { kind: ContextKind.CONTEXT_KIND_CONVERSATION, contexts: 0n },
      { kind: RUN, contexts: 1n },
      { kind: ContextKind.CONTEXT_KIND_PROJECT, contexts: 2n },
      { kind: ContextKind.CONTEXT_KIND_ERROR, contexts: 0n },
    ],
  });
});

test("stats_of_pages_past_the_message_limit_are_read_in_smaller_ones", async () => {
  const tenant = "large";
  const long = "x".repeat(60_000);
  for (let index = 0; index < 75; index++) await store(tenant, { text: long });
  const { contexts, textBytes } = await clients.storage.getStats({}, { metadata: as(tenant) });
  expect([contexts, textBytes]).toEqual([75n, 4_500_000n]);
});

test("memory_away_is_told_as_unavailable", async () => {
  const alone = await startService(`127.0.0.1:${await freePort()}`);
  const { storage, close } = openClients(alone.address);
  const failure = await failureOf((options) =>
    storage.getContext({ contextId: "c" }, { ...options, metadata: as("acme") }),
  );
  expect(failure).toMatchObject({ code: Status.UNAVAILABLE, reason: "DEPENDENCY_UNAVAILABLE" });
  close();
  await alone.drain();
});
