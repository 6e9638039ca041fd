import type {
  Context,
  ContextKind,
  ContextStorageServiceImplementation,
} from "@uait/gen/uait/context/v1/context_storage.js";
import { MemoryServiceDefinition } from "@uait/gen/uait/memory/v1/memory.js";
import type { Memory } from "@uait/gen/uait/memory/v1/record.js";
import { type KitContext, type Mesh, type ServerCallContext, Status, StatusError } from "@uait/kit";
import { ContextError } from "./error.js";
import {
  contextFilter,
  contextOf,
  KINDS,
  memoryKindOf,
  memoryProperties,
  memoryRequestId,
} from "./stored-as-memory.js";

// A page of the greatest memories may be past the message limit; then the list is read again in small pages.
const PAGE_SIZES = [200, 10] as const;

/** The handlers of ContextStorageService; memory is the store. */
export function createStorageHandler(options: {
  readonly mesh: Mesh;
}): ContextStorageServiceImplementation<ServerCallContext> {
  const memories = options.mesh.client(MemoryServiceDefinition);

  async function read(contextId: string, from: KitContext): Promise<Context> {
    const { memory } = await told(memories.get({ memoryId: contextId }, { from }), { contextId });
    return required(memory, contextId);
  }

  async function* list(pageSize: number, from: KitContext): AsyncGenerator<Memory> {
    let pageToken = "";
    do {
      const page = await memories.list({ pageSize, pageToken }, { from });
      yield* page.memories;
      pageToken = page.nextPageToken;
    } while (pageToken !== "");
  }

  async function count(pageSize: number, from: KitContext) {
    let bytes = 0;
    const contexts = new Map<ContextKind, number>(KINDS.map((kind) => [kind, 0]));
    for await (const memory of list(pageSize, from)) {
      const context = contextOf(memory);
      if (context === undefined) continue;
      bytes += Buffer.byteLength(context.text);
      contexts.set(context.kind, (contexts.get(context.kind) ?? 0) + 1);
    }
    const kinds = [...contexts].map(([kind, each]) => ({ kind, contexts: BigInt(each) }));
    const total = kinds.reduce((sum, each) => sum + each.contexts, 0n);
    return { contexts: total, textBytes: BigInt(bytes), kinds };
  }

  return {
    async storeContext({ requestId, kind, sessionId, text, tags, properties, expireTime }, from) {
      const memory = {
        text,
        kind: memoryKindOf(kind),
        tags,
        properties: memoryProperties(kind, sessionId, properties),
        origin: sessionId,
        expireTime,
      };
      const request = { requestId: memoryRequestId("StoreContext", requestId), memory };
      const stored = await told(memories.store(request, { from }), { requestId });
      return { context: required(stored.memory, "") };
    },

    async getContext({ contextId }, from) {
      return { context: await read(contextId, from) };
    },

    async updateContext({ requestId, contextId, text, tags, properties, expireTime, etag }, from) {
      // Kind and session never change, so what was read still holds when the update comes.
      const { kind, sessionId } = await read(contextId, from);
      const request = {
        requestId: memoryRequestId("UpdateContext", requestId),
        memoryId: contextId,
        text,
        tags,
        properties:
          properties === undefined
            ? undefined
            : { properties: memoryProperties(kind, sessionId, properties.properties) },
        expireTime,
        etag,
      };
      const { memory } = await told(memories.update(request, { from }), { requestId, contextId });
      return { context: required(memory, contextId) };
    },

    async searchContext({ query, kinds, sessionId, tags, filter, limit, minScore }, from) {
      const request = { query, filter: contextFilter({ kinds, sessionId, filter }), tags, limit, minScore };
      const found = await memories.search(request, { from });
      const hits = found.hits.flatMap(({ memory, score }) => {
        const context = memory === undefined ? undefined : contextOf(memory);
        return context === undefined ? [] : [{ context, score }];
      });
      return { hits, degradations: found.degradations };
    },

    async deleteContext({ requestId, contextId, etag }, from) {
      const { memory } = await memories.get({ memoryId: contextId }, { from }).catch(ignoreMissing);
      if (memory !== undefined) required(memory, contextId);
      // What is gone already may have been deleted by this very request; memory knows.
      const request = { requestId: memoryRequestId("DeleteContext", requestId), memoryId: contextId, etag };
      await told(memories.delete(request, { from }), { requestId, contextId });
      return {};
    },

    async getStats(_, from) {
      const [large, small] = PAGE_SIZES;
      try {
        return await count(large, from);
      } catch (error) {
        if (!(error instanceof StatusError) || error.code !== Status.RESOURCE_EXHAUSTED) throw error;
        return await count(small, from);
      }
    },
  };
}

function required(memory: Memory | undefined, contextId: string): Context {
  const context = memory === undefined ? undefined : contextOf(memory);
  if (context === undefined) throw new ContextError({ kind: "missing", contextId });
  return context;
}

function ignoreMissing(error: unknown): { readonly memory: undefined } {
  if (error instanceof StatusError && error.code === Status.NOT_FOUND) return { memory: undefined };
  throw error;
}

interface About {
  readonly contextId?: string;
  readonly requestId?: string;
}

/** The answer of memory, its refusals told of contexts rather than of memories. */
async function told<Answer>(call: Promise<Answer>, { contextId, requestId }: About): Promise<Answer> {
  try {
    return await call;
  } catch (error) {
    if (!(error instanceof StatusError)) throw error;
    if (contextId !== undefined && error.code === Status.NOT_FOUND) {
      throw new ContextError({ kind: "missing", contextId });
    }
    if (contextId !== undefined && error.reason === "ETAG_MISMATCH") {
      throw new ContextError({ kind: "changed", contextId, etag: error.metadata["etag"] ?? "" });
    }
    if (requestId !== undefined && error.reason === "REQUEST_ID_REUSED") {
      throw new ContextError({ kind: "request_id_reused", requestId });
    }
    throw error;
  }
}
