import { MemoryService } from "@uait/gen/es/uait/memory/v1/memory_pb.js";
import {
  MemoryServiceDefinition,
  type MemoryServiceImplementation,
  type SearchRequest,
} from "@uait/gen/uait/memory/v1/memory.js";
import { Memory, MemoryKind } from "@uait/gen/uait/memory/v1/record.js";
import type { Degradation } from "@uait/gen/uait/types/v1/failure.js";
import { type Filter_Condition, Filter_Comparison as Is } from "@uait/gen/uait/types/v1/value.js";
import {
  dial,
  Idempotency,
  openEvents,
  type RunningServer,
  type ServerCallContext,
  Status,
  StatusError,
  serve,
  service,
  startTelemetry,
} from "@uait/kit";
import { testConfig } from "@uait/kit/testing";

/** A call that the memory service got. */
export interface Seen {
  readonly method: string;
  readonly tenant: string;
  readonly timeLeftMs: number;
}

/** A memory service in this process, served over the real contract with its rules. It ranks by the share of the query's words. */
export interface FakeMemory extends RunningServer {
  readonly seen: readonly Seen[];
  /** What Search says of itself. */
  degradations: Degradation[];
  /** What every call waits for, or fails with. */
  hold: (signal: AbortSignal) => Promise<void>;
  /** Stores a memory past the service under test. */
  remember(tenant: string, memory: Partial<Memory>): Memory;
}

export async function startFakeMemory(): Promise<FakeMemory> {
  const config = testConfig({ UAIT_SERVICE: "memory" });
  const telemetry = await startTelemetry(config, () => undefined);
  const mesh = dial({ config, telemetry });
  const events = openEvents({ config, telemetry });
  const tenants = new Map<string, Map<string, Memory>>();
  const once = new Idempotency({ now: Date.now });
  const seen: Seen[] = [];
  let made = 0;
  const of = (tenant: string) => {
    const known = tenants.get(tenant) ?? new Map<string, Memory>();
    tenants.set(tenant, known);
    return known;
  };
  const found = (tenant: string, id: string) => {
    const memory = of(tenant).get(id);
    if (memory === undefined) throw refusal(Status.NOT_FOUND, "RESOURCE_NOT_FOUND", { resource: "memory", name: id });
    return memory;
  };
  const unchanged = (memory: Memory, etag: string) => {
    if (etag === "" || etag === memory.etag) return;
    throw refusal(Status.ABORTED, "ETAG_MISMATCH", { etag: memory.etag });
  };
  const remember = (tenant: string, memory: Partial<Memory>): Memory => {
    made++;
    const memoryId = memory.memoryId ?? `m${made}`;
    const time = new Date(Date.UTC(2026, 0, 1) + made * 1000);
    const version = memory.version ?? 1;
    const kind = memory.kind || MemoryKind.MEMORY_KIND_SEMANTIC;
    const whole = Memory.fromPartial({
      createTime: time,
      ...memory,
      memoryId,
      kind,
      version,
      updateTime: time,
      etag: `e${made}`,
    });
    of(tenant).set(memoryId, whole);
    return whole;
  };
  const fake: Omit<FakeMemory, keyof RunningServer> = {
    seen,
    degradations: [],
    hold: async () => undefined,
    remember,
  };
  const begin = async (method: string, context: ServerCallContext & { readonly signal: AbortSignal }) => {
    const timeLeftMs = (context.deadlineMs ?? Number.POSITIVE_INFINITY) - Date.now();
    seen.push({ method, tenant: context.identity.tenant, timeLeftMs });
    await fake.hold(context.signal);
    return context.identity.tenant;
  };
  const implementation: Pick<
    MemoryServiceImplementation<ServerCallContext>,
    "store" | "get" | "update" | "delete" | "list" | "search"
  > = {
    async store(request, context) {
      const tenant = await begin("store", context);
      const call = { rpc: "Store", request, from: context };
      return await once.run(call, async () => ({ memory: remember(tenant, { ...request.memory, importance: 0.5 }) }));
    },
    async get({ memoryId }, context) {
      return { memory: found(await begin("get", context), memoryId) };
    },
    async update(request, context) {
      const tenant = await begin("update", context);
      return await once.run({ rpc: "Update", request, from: context }, async () => {
        const before = found(tenant, request.memoryId);
        unchanged(before, request.etag);
        const { text, tags, properties, expireTime } = request;
        const memory = remember(tenant, {
          ...before,
          version: before.version + 1,
          text: text ?? before.text,
          tags: tags?.tags ?? before.tags,
          properties: properties?.properties ?? before.properties,
          expireTime: expireTime ?? before.expireTime,
        });
        return { memory };
      });
    },
    async delete(request, context) {
      const tenant = await begin("delete", context);
      return await once.run({ rpc: "Delete", request, from: context }, async () => {
        unchanged(found(tenant, request.memoryId), request.etag);
        of(tenant).delete(request.memoryId);
        return {};
      });
    },
    async list({ pageSize, pageToken }, context) {
      const all = [...of(await begin("list", context)).values()].reverse();
      const start = Number(pageToken);
      const end = start + (pageSize || 100);
      return { memories: all.slice(start, end), nextPageToken: end < all.length ? String(end) : "" };
    },
    async search(request, context) {
      const all = [...of(await begin("search", context)).values()];
      const hits = all
        .filter((memory) => fulfils(memory, request))
        .map((memory) => ({ memory, score: score(memory.text, request.query), snippet: "" }))
        .filter(({ score }) => score >= request.minScore && score > 0)
        .sort((a, b) => b.score - a.score)
        .slice(0, request.limit || 10);
      return { hits, degradations: fake.degradations };
    },
  };
  const missing = { batchStore, getHistory: batchStore, consolidate: batchStore, purgeTenant: batchStore };
  const server = await serve({
    config,
    telemetry,
    mesh,
    events,
    services: [
      service({
        definition: MemoryServiceDefinition,
        descriptor: MemoryService,
        implementation: { ...missing, getStats: batchStore, watchMemories: batchStore, ...implementation },
      }),
    ],
  });
  return Object.assign(fake, server);
}

function batchStore(): never {
  throw new Error("the test has no such handler");
}

function refusal(
  code: typeof Status.NOT_FOUND | typeof Status.ABORTED,
  reason: "RESOURCE_NOT_FOUND" | "ETAG_MISMATCH",
  metadata: Record<string, string>,
) {
  return StatusError.of({ code, reason, message: `memory says ${reason}`, metadata });
}

function score(text: string, query: string): number {
  const words = new Set(text.toLowerCase().match(/\p{L}+/gu) ?? []);
  const asked = query.toLowerCase().match(/\p{L}+/gu) ?? [];
  return asked.length === 0 ? 0 : asked.filter((word) => words.has(word)).length / asked.length;
}

function fulfils(memory: Memory, { tags, filter }: SearchRequest): boolean {
  if (!tags.every((tag) => memory.tags.includes(tag))) return false;
  return (filter?.all ?? []).every(({ any }) => any.some((condition) => holds(memory, condition)));
}

function holds({ properties }: Memory, { property, comparison, value }: Filter_Condition): boolean {
  const own = properties[property]?.kind;
  switch (comparison) {
    case Is.COMPARISON_ABSENT:
      return own === undefined;
    case Is.COMPARISON_EQUAL:
      return own !== undefined && own.value === value?.kind?.value;
    case Is.COMPARISON_ANY_OF:
      return own?.$case === "text" && value?.kind?.$case === "words" && value.kind.value.words.includes(own.value);
    default:
      throw new Error(`the fake does not compare by ${comparison}`);
  }
}
