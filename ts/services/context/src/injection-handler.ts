import {
  type ContextInjectionServiceImplementation,
  type EnrichRequest,
  EnrichRequest_Source as From,
} from "@uait/gen/uait/context/v1/context_injection.js";
import { MemoryServiceDefinition, type SearchResponse_Hit } from "@uait/gen/uait/memory/v1/memory.js";
import type { Citation } from "@uait/gen/uait/types/v1/citation.js";
import type { Degradation } from "@uait/gen/uait/types/v1/failure.js";
import type { Filter } from "@uait/gen/uait/types/v1/value.js";
import { type KitContext, type Mesh, type ServerCallContext, Status, StatusError } from "@uait/kit";
import { fitPassages, type Placed } from "./fit.js";
import { dropDuplicates, type Passage, rank } from "./passage.js";
import { contextFilter, contextOf, NO_CONTEXT, wordOf } from "./stored-as-memory.js";
import { readsLikeInstruction } from "./suspicion.js";

export interface InjectionOptions {
  readonly mesh: Mesh;
  /** How long a source may take. */
  readonly sourceTimeoutMs: number;
  /** Unix time in milliseconds. */
  readonly now: () => number;
}

const DEFAULT_MAX_TOKENS = 2000;
/** Most memories asked for in one search: 32 of the longest are well within a message. */
const CANDIDATES = 32;
/** Most bytes of a query that memory takes. */
const MAX_QUERY_BYTES = 16_384;
/** Of what is left of the caller's time, what sources may use; the rest is for the answer. */
const SHARE_OF_TIME = 0.8;
const QUOTE_CHARACTERS = 2000;
const TITLE_CHARACTERS = 80;

// How a source can fail without the others being worth less.
const AWAY: ReadonlySet<Status> = new Set<Status>([
  Status.UNAVAILABLE,
  Status.DEADLINE_EXCEEDED,
  Status.UNIMPLEMENTED,
  Status.RESOURCE_EXHAUSTED,
  Status.INTERNAL,
  Status.UNKNOWN,
  Status.DATA_LOSS,
]);

interface Gathered {
  readonly passages: readonly Passage[];
  readonly degradations: readonly Degradation[];
}

/** The handlers of ContextInjectionService. */
export function createInjectionHandler({
  mesh,
  sourceTimeoutMs,
  now,
}: InjectionOptions): ContextInjectionServiceImplementation<ServerCallContext> {
  const memories = mesh.client(MemoryServiceDefinition);

  async function search(request: EnrichRequest, what: Search, from: KitContext): Promise<Gathered> {
    const { task, tags, minScore } = request;
    const query = beginningOf(task, MAX_QUERY_BYTES);
    try {
      const { hits, degradations } = await memories.search(
        { query, filter: what.filter, tags: [...tags], minScore, limit: CANDIDATES },
        { from, timeoutMs: timeoutOf(from) },
      );
      return { passages: hits.flatMap((hit) => what.toPassage(hit)), degradations };
    } catch (error) {
      if (from.signal.aborted || !(error instanceof StatusError) || !AWAY.has(error.code)) throw error;
      from.log.warn("source away", { source: "memory", error });
      return { passages: [], degradations: [degradation("memory", what.effect, error)] };
    }
  }

  function timeoutOf({ deadlineMs }: KitContext): number {
    if (deadlineMs === undefined) return sourceTimeoutMs;
    return Math.max(1, Math.min(sourceTimeoutMs, Math.floor((deadlineMs - now()) * SHARE_OF_TIME)));
  }

  return {
    async enrich(request, from) {
      const { sessionId, sources, fileIds, untrustedRemoved } = request;
      const wanted = (source: From) => sources.length === 0 || sources.includes(source);
      const searches: Search[] = [];
      if (wanted(From.SOURCE_MEMORY)) searches.push(MEMORIES);
      if (wanted(From.SOURCE_CONTEXT)) {
        searches.push(contexts("", sessionId));
        if (sessionId !== "") searches.push(contexts(sessionId, sessionId));
      }
      const gathered = await Promise.all(searches.map((each) => search(request, each, from)));
      const degradations = gathered.flatMap((each) => each.degradations);
      if (wanted(From.SOURCE_FILES) && fileIds.length > 0) degradations.push(FILES_MISSING);

      const distinct = dropDuplicates(rank(gathered.flatMap((each) => each.passages)));
      const judged = distinct.map((passage) => ({ ...passage, suspicious: readsLikeInstruction(passage.text) }));
      const trusted = untrustedRemoved ? judged.filter(({ suspicious }) => !suspicious) : judged;
      const fitted = fitPassages(trusted, request.maxTokens || DEFAULT_MAX_TOKENS);
      return {
        text: fitted.text,
        passages: fitted.placed.map(toPassage),
        tokens: fitted.tokens,
        omitted: fitted.omitted,
        degradations: distinctDegradations(degradations),
      };
    },
  };
}

/** A search of memory: what it finds, and what is missing without it. */
interface Search {
  readonly filter: Filter;
  readonly effect: string;
  readonly toPassage: (hit: SearchResponse_Hit) => Passage[];
}

const MEMORIES: Search = {
  filter: NO_CONTEXT,
  effect: "memories are missing",
  toPassage({ memory, score, snippet }) {
    if (memory === undefined) return [];
    const { memoryId, text, origin } = memory;
    const title = origin === "" ? titleOf(text) : origin;
    return [{ source: { kind: "memory", memoryId }, title, text, snippet, score, preferred: false }];
  },
};

function contexts(onlySession: string, preferredSession: string): Search {
  return {
    filter: contextFilter({ kinds: [], sessionId: onlySession, filter: undefined }),
    effect: "stored contexts are missing",
    toPassage({ memory, score, snippet }) {
      const context = memory === undefined ? undefined : contextOf(memory);
      if (context === undefined) return [];
      const { contextId, kind, text, sessionId } = context;
      const title = `${wordOf(kind)}: ${titleOf(text)}`;
      const preferred = preferredSession !== "" && sessionId === preferredSession;
      return [{ source: { kind: "context", contextId }, title, text, snippet, score, preferred }];
    },
  };
}

// Until file-management runs: nothing here reads files, so none is asked for in vain.
const FILES_MISSING: Degradation = {
  dependency: "file-management",
  effect: "passages of the files are missing",
  failure: {
    code: Status.UNIMPLEMENTED,
    reason: "NOT_IMPLEMENTED",
    message: "this build does not read files",
    fieldViolations: [],
  },
};

function degradation(dependency: string, effect: string, { code, reason, message }: StatusError): Degradation {
  return { dependency, effect, failure: { code, reason, message, fieldViolations: [] } };
}

function distinctDegradations(degradations: readonly Degradation[]): Degradation[] {
  return [...new Map(degradations.map((each) => [`${each.dependency}/${each.effect}`, each])).values()];
}

function toPassage({ passage, text, tokens }: Placed) {
  const { source, title, score, suspicious } = passage;
  const citation: Citation = {
    source:
      source.kind === "memory"
        ? { $case: "memoryId", value: source.memoryId }
        : { $case: "contextId", value: source.contextId },
    title,
    quote: firstCharacters(text, QUOTE_CHARACTERS),
    score,
    answerStart: 0,
    answerEnd: 0,
  };
  return { text, citation, tokens, suspicious };
}

function titleOf(text: string): string {
  const line = text.trim().split(/\r|\n/u, 1)[0] ?? "";
  const title = firstCharacters(line, TITLE_CHARACTERS);
  return title.length < line.length ? `${title}…` : title;
}

/** At most so many code points. */
function firstCharacters(text: string, count: number): string {
  if (text.length <= count) return text;
  return [...text.slice(0, 2 * count)].slice(0, count).join("");
}

/** As much of the beginning as has at most so many bytes in UTF-8; whole code points. */
function beginningOf(text: string, maxBytes: number): string {
  const bytes = Buffer.from(text);
  if (bytes.length <= maxBytes) return text;
  let end = maxBytes;
  // Bytes 10xxxxxx go on a code point that began before.
  while (end > 0 && ((bytes[end] ?? 0) & 0xc0) === 0x80) end--;
  return bytes.toString("utf8", 0, end);
}
