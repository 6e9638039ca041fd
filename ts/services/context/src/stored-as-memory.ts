import { createHash } from "node:crypto";
import { type Context, ContextKind } from "@uait/gen/uait/context/v1/context_storage.js";
import { type Memory, MemoryKind } from "@uait/gen/uait/memory/v1/record.js";
import { type Filter, type Filter_Clause, Filter_Comparison, type Value } from "@uait/gen/uait/types/v1/value.js";
import { ContextError } from "./error.js";
import { estimateTokens } from "./tokens.js";

/** Names of properties that begin so are the service's; no caller may set, see or filter by them. */
export const RESERVED = "uait_context_";
const KIND = `${RESERVED}kind`;
const SESSION = `${RESERVED}session`;

/** Most clauses that memory takes in a filter (`uait.types.v1.Filter.all`). */
const MAX_CLAUSES = 16;

type Kind = Exclude<ContextKind, typeof ContextKind.CONTEXT_KIND_UNSPECIFIED | typeof ContextKind.UNRECOGNIZED>;

/** Every kind of context. */
export const KINDS: readonly Kind[] = [
  ContextKind.CONTEXT_KIND_CONVERSATION,
  ContextKind.CONTEXT_KIND_RUN,
  ContextKind.CONTEXT_KIND_PROJECT,
  ContextKind.CONTEXT_KIND_ERROR,
];

// The words are stored: changing one loses the contexts that have it.
const WORDS: { readonly [Each in Kind]: string } = {
  [ContextKind.CONTEXT_KIND_CONVERSATION]: "conversation",
  [ContextKind.CONTEXT_KIND_RUN]: "run",
  [ContextKind.CONTEXT_KIND_PROJECT]: "project",
  [ContextKind.CONTEXT_KIND_ERROR]: "error",
};

/** What a memory of a context is to memory: a project's is a fact, all others are something that happened. */
export function memoryKindOf(kind: ContextKind): MemoryKind {
  return kind === ContextKind.CONTEXT_KIND_PROJECT ? MemoryKind.MEMORY_KIND_SEMANTIC : MemoryKind.MEMORY_KIND_EPISODIC;
}

/** The word by which a kind is stored and shown. */
export function wordOf(kind: ContextKind): string {
  return WORDS[kind as Kind] ?? "";
}

type Properties = { readonly [name: string]: Value };

/**
 * A context's properties as its memory has them.
 *
 * @throws ContextError property_reserved
 */
export function memoryProperties(
  kind: ContextKind,
  sessionId: string,
  properties: Properties,
): { [name: string]: Value } {
  for (const name of Object.keys(properties)) refuseReserved(name, "properties");
  const stored: { [name: string]: Value } = { ...properties, [KIND]: textValue(wordOf(kind)) };
  if (sessionId !== "") stored[SESSION] = textValue(sessionId);
  return stored;
}

/** The context that a memory is; `undefined` for a memory that is none. */
export function contextOf(memory: Memory): Context | undefined {
  const word = textOf(memory.properties[KIND]);
  const kind = KINDS.find((each) => WORDS[each] === word);
  if (kind === undefined) return undefined;
  const { memoryId, text, tags, createTime, updateTime, expireTime, etag } = memory;
  const properties = Object.fromEntries(
    Object.entries(memory.properties).filter(([name]) => !name.startsWith(RESERVED)),
  );
  return {
    contextId: memoryId,
    kind,
    sessionId: textOf(memory.properties[SESSION]) ?? "",
    text,
    tags,
    properties,
    tokens: estimateTokens(text),
    createTime,
    updateTime,
    expireTime,
    etag,
  };
}

/** Which contexts to find. */
export interface ContextQuery {
  /** None for all. */
  readonly kinds: readonly ContextKind[];
  /** Empty for all. */
  readonly sessionId: string;
  readonly filter: Filter | undefined;
}

/** The condition that memories of these contexts fulfil, and no other memory. @throws ContextError */
export function contextFilter({ kinds, sessionId, filter }: ContextQuery): Filter {
  const wanted = kinds.length === 0 ? KINDS : kinds;
  const own: Filter_Clause[] = [clause(KIND, wanted.map(wordOf))];
  if (sessionId !== "") own.push(clause(SESSION, [sessionId]));
  const all = filter?.all ?? [];
  for (const { property } of all.flatMap(({ any }) => any)) refuseReserved(property, "filter");
  const limit = MAX_CLAUSES - own.length;
  if (all.length > limit) throw new ContextError({ kind: "filter_too_long", clauses: all.length, limit });
  return { all: [...own, ...all] };
}

/** The condition that memories fulfil which are no contexts. */
export const NO_CONTEXT: Filter = {
  all: [{ any: [{ property: KIND, comparison: Filter_Comparison.COMPARISON_ABSENT, value: undefined }] }],
};

/**
 * The id under which memory knows a request of this service. It differs from every id that a caller of memory would
 * choose, and from the ids of the other RPCs here.
 */
export function memoryRequestId(rpc: string, requestId: string): string {
  return `context-${createHash("sha256").update(`${rpc}/${requestId}`).digest("base64url")}`;
}

function clause(property: string, words: string[]): Filter_Clause {
  const value: Value = { kind: { $case: "words", value: { words } } };
  return { any: [{ property, comparison: Filter_Comparison.COMPARISON_ANY_OF, value }] };
}

function refuseReserved(property: string, field: string): void {
  if (property.startsWith(RESERVED)) throw new ContextError({ kind: "property_reserved", field, property });
}

function textValue(value: string): Value {
  return { kind: { $case: "text", value } };
}

function textOf(value: Value | undefined): string | undefined {
  return value?.kind?.$case === "text" ? value.kind.value : undefined;
}
