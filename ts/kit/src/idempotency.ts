import { createHash } from "node:crypto";
import type { Identity } from "./identity.js";
import type { KitContext } from "./service.js";
import {
  cancelled,
  type ErrorCode,
  type ErrorMap,
  requestIdReused,
  Status,
  StatusError,
  toStatusError,
} from "./status.js";

/** What the work of a request is done on behalf of; give it as `from` to whatever is called or published. */
export type WorkContext = Pick<KitContext, "identity" | "deadlineMs" | "signal" | "span">;

/** A request whose first answer is to be remembered. */
export interface RepeatableCall {
  /** Full name, such as `uait.gateway.v1.AuthService/IssueKey`. */
  readonly rpc: string;
  /** The request as decoded. */
  readonly request: { readonly requestId: string };
  /** The caller. */
  readonly from: WorkContext;
  /** With true the work goes on when every caller has gone: one comes back with the same id for the answer. */
  readonly detached?: boolean;
}

export interface IdempotencyOptions {
  /** Milliseconds since some moment. */
  readonly now: () => number;
  /** The service's map of errors; it tells which failures are final. */
  readonly errors?: ErrorMap;
  /** How long an answer is remembered; ten minutes when absent. */
  readonly ttlMs?: number;
  /** Most remembered answers; 10,000 when absent. The oldest go first. */
  readonly capacity?: number;
  /** Most bytes of remembered answers, about; 64 MiB when absent. A larger answer is not remembered. */
  readonly capacityBytes?: number;
}

const TTL_MS = 10 * 60_000;
const CAPACITY = 10_000;
const CAPACITY_BYTES = 64 * 1024 * 1024;

// What the same request would be told for ever: a repeat gets it without the work being tried again.
const FINAL: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  Status.INVALID_ARGUMENT,
  Status.ALREADY_EXISTS,
  Status.OUT_OF_RANGE,
  Status.ABORTED,
]);

// How work ends because of who began it, not because of what was asked.
const CALLERS_OWN: ReadonlySet<ErrorCode> = new Set<ErrorCode>([Status.CANCELLED, Status.DEADLINE_EXCEEDED]);

interface Entry {
  readonly fingerprint: string;
  readonly answer: Promise<unknown>;
  readonly abort: AbortController;
  readonly detached: boolean;
  waiting: number;
  /** When it is forgotten; `undefined` while the work is under way. */
  expiresMs: number | undefined;
  bytes: number;
}

/**
 * The first answers to requests, in memory, for services without a store of their own (proto/README.md, Idempotency): a
 * repeat gets the first answer or joins the work that is still under way; another request with the same id is
 * INVALID_ARGUMENT, REQUEST_ID_REUSED. A failure is remembered only if it is final; after any other the repeat tries again.
 */
export class Idempotency {
  readonly #entries = new Map<string, Entry>();
  readonly #now: () => number;
  readonly #errors: ErrorMap | undefined;
  readonly #ttlMs: number;
  readonly #capacity: number;
  readonly #capacityBytes: number;
  #bytes = 0;
  #remembered = 0;

  constructor(options: IdempotencyOptions) {
    this.#now = options.now;
    this.#errors = options.errors;
    this.#ttlMs = options.ttlMs ?? TTL_MS;
    this.#capacity = options.capacity ?? CAPACITY;
    this.#capacityBytes = options.capacityBytes ?? CAPACITY_BYTES;
  }

  /**
   * Does the work of a request, unless it has been done or is being done. The work's signal is aborted when every caller
   * that waits for it has gone, unless it is detached; it has the deadline of the first of them.
   *
   * @throws StatusError REQUEST_ID_REUSED; CANCELLED when this caller goes; whatever the work throws
   */
  async run<Answer>(call: RepeatableCall, work: (from: WorkContext) => Promise<Answer>): Promise<Answer> {
    const { rpc, request, from } = call;
    this.#expire();
    const key = `${from.identity.tenant}/${rpc}/${request.requestId}`;
    const fingerprint = fingerprintOf(request);
    for (;;) {
      from.signal.throwIfAborted();
      const known = this.#entries.get(key);
      if (known === undefined) return (await this.#wait(this.#begin(key, fingerprint, call, work), from)) as Answer;
      if (known.fingerprint !== fingerprint) throw requestIdReused(request.requestId);
      try {
        return (await this.#wait(known, from)) as Answer;
      } catch (error) {
        // The one who began it went away or ran out of time; this caller did not, and takes its place.
        const orphaned = CALLERS_OWN.has(toStatusError(error, this.#errors).code);
        if (!orphaned || from.signal.aborted) throw error;
      }
    }
  }

  #begin<Answer>(
    key: string,
    fingerprint: string,
    { from, detached = false }: RepeatableCall,
    work: (from: WorkContext) => Promise<Answer>,
  ): Entry {
    const abort = new AbortController();
    const deadlineMs = detached ? undefined : from.deadlineMs;
    const { identity, span } = from;
    const answer = doWork({ identity: copyOf(identity), span, deadlineMs, signal: abort.signal }, work);
    const entry: Entry = { fingerprint, answer, abort, detached, waiting: 0, expiresMs: undefined, bytes: 0 };
    this.#entries.set(key, entry);
    answer.then(
      (value) => this.#remember(key, entry, sizeOf(value)),
      (error: unknown) => {
        if (FINAL.has(toStatusError(error, this.#errors).code)) this.#remember(key, entry, 0);
        else this.#entries.delete(key);
      },
    );
    return entry;
  }

  async #wait(entry: Entry, { signal }: WorkContext): Promise<unknown> {
    entry.waiting++;
    let gone: (() => void) | undefined;
    const left = new Promise<never>((_, reject) => {
      gone = () => reject(signal.reason instanceof StatusError ? signal.reason : cancelled(signal.reason));
      signal.addEventListener("abort", gone, { once: true });
    });
    try {
      return await Promise.race([entry.answer, left]);
    } finally {
      if (gone !== undefined) signal.removeEventListener("abort", gone);
      this.#leave(entry);
    }
  }

  #leave(entry: Entry): void {
    entry.waiting--;
    if (entry.waiting === 0 && !entry.detached && entry.expiresMs === undefined) entry.abort.abort(cancelled());
  }

  // Put in anew, so that the map's order is that of expiry.
  #remember(key: string, entry: Entry, bytes: number): void {
    this.#entries.delete(key);
    if (bytes > this.#capacityBytes) return;
    entry.expiresMs = this.#now() + this.#ttlMs;
    entry.bytes = bytes;
    this.#entries.set(key, entry);
    this.#bytes += bytes;
    this.#remembered++;
    this.#evict(() => this.#remembered > this.#capacity || this.#bytes > this.#capacityBytes);
  }

  #expire(): void {
    const now = this.#now();
    this.#evict(({ expiresMs }) => expiresMs !== undefined && expiresMs <= now);
  }

  // Work under way stays: its callers wait, and their number is the server's to bound.
  #evict(isDue: (entry: Entry) => boolean): void {
    for (const [key, entry] of this.#entries) {
      if (entry.expiresMs === undefined) continue;
      if (!isDue(entry)) return;
      this.#entries.delete(key);
      this.#bytes -= entry.bytes;
      this.#remembered--;
    }
  }
}

// Always asynchronous, so that whoever begins the work is waiting before it can end.
async function doWork<Answer>(from: WorkContext, work: (from: WorkContext) => Promise<Answer>): Promise<Answer> {
  await Promise.resolve();
  return await work(from);
}

function copyOf({ tenant, subject, scopes }: Identity): Identity {
  return { tenant, subject, scopes: [...scopes] };
}

/**
 * SHA-256 of a message's values, whatever the order of its maps: protobuf leaves that open, and Go changes it from one
 * encoding to the next.
 */
export function fingerprintOf(message: unknown): string {
  const hash = createHash("sha256");
  describe(message, (text) => hash.update(text));
  return hash.digest("base64");
}

/** About how many bytes a message takes: its texts and bytes, and eight for each other value. */
function sizeOf(message: unknown): number {
  let size = 0;
  describe(message, (part) => {
    size += typeof part === "string" ? Math.max(8, part.length) : part.byteLength;
  });
  return size;
}

// Every part carries its kind and length, so that no two different messages are described alike.
function describe(value: unknown, write: (part: string | Uint8Array) => void): void {
  if (value instanceof Uint8Array) {
    write(`b${value.byteLength}:`);
    write(value);
  } else if (value instanceof Date) write(`d${value.getTime()};`);
  else if (Array.isArray(value)) {
    write(`a${value.length}:`);
    for (const each of value) describe(each, write);
  } else if (value instanceof Map) {
    describeEntries(
      [...value].map(([key, each]) => [`${typeof key}${String(key)}`, each]),
      write,
    );
  } else if (typeof value === "object" && value !== null) {
    // An absent optional field may be undefined or not there at all.
    describeEntries(
      Object.entries(value).filter(([, each]) => each !== undefined),
      write,
    );
  } else if (typeof value === "string") write(`s${value.length}:${value}`);
  else write(`${typeof value}${Object.is(value, -0) ? "-0" : String(value)};`);
}

function describeEntries(entries: [string, unknown][], write: (part: string | Uint8Array) => void): void {
  write(`o${entries.length}:`);
  for (const [key, value] of entries.sort(([a], [b]) => (a < b ? -1 : 1))) {
    write(`${key.length}:${key}`);
    describe(value, write);
  }
}
