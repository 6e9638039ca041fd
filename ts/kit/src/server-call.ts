import type { Metadata, ServerInterceptingCallInterface } from "@grpc/grpc-js";
import type { MethodDurations } from "./call-durations.js";
import { type Identity, NO_IDENTITY, readIdentity, tenantMissing } from "./identity.js";
import { LOAD_KEY, type LoadMeter } from "./load.js";
import type { Logger } from "./log.js";
import type { SharedAttributes } from "./span-attributes.js";
import { cancelled, deadlineExceeded, STATUS_DETAILS_KEY, Status, StatusError } from "./status.js";
import { endSpan, readTraceParent, type Span, SpanKind, type Telemetry } from "./telemetry.js";

type PartialStatus = Parameters<ServerInterceptingCallInterface["sendStatus"]>[0];

/** What is known of a method before any call of it. */
export interface MethodEntry {
  readonly path: string;
  /** Name of the server's span: `package.Service/Method`. */
  readonly spanName: string;
  readonly attributes: SharedAttributes;
  readonly durations: MethodDurations;
  readonly tenantless: boolean;
}

/** What all calls of a server share. */
export interface CallEnvironment {
  readonly telemetry: Telemetry;
  readonly load: LoadMeter;
  readonly maxInflight: number;
  readonly maxMessageBytes: number;
}

// The caller's own timer began when it sent the call, ours when the call arrived, so at a deadline it resets the stream
// before we end it: a reset this close to the deadline is that race, not a change of mind. On a busy machine a call is
// under way for long; half of a short deadline bounds what is taken for a race.
const DEADLINE_RACE_MS = 250;

const OVERLOAD_RETRY_MS = 100;

/** One call from its arrival to its status: the outer layers of the server, whatever ends it. */
export class ServerCall {
  readonly entry: MethodEntry;
  readonly deadlineMs: number | undefined;
  identity: Identity = NO_IDENTITY;
  span!: Span;
  /** The error that the handler ended with, whose details the status shall carry. */
  failure: StatusError | undefined;
  /** Why the call ended before its handler did. */
  interruption: StatusError | undefined;
  #admitted = false;
  #ended = false;
  readonly #environment: CallEnvironment;
  readonly #startedMs = performance.now();
  readonly #arrivedMs = Date.now();

  constructor(entry: MethodEntry, environment: CallEnvironment, deadlineMs: number | undefined) {
    this.entry = entry;
    this.#environment = environment;
    this.deadlineMs = deadlineMs;
  }

  /** Span, overload limit, identity. @returns why the call is refused, or `undefined`. */
  admit(metadata: Metadata): StatusError | undefined {
    const { load, maxInflight, telemetry } = this.#environment;
    const get = (key: string) => {
      const value = metadata.get(key)[0];
      return typeof value === "string" ? value : undefined;
    };
    const parent = readTraceParent(get("traceparent"), get("tracestate"));
    this.span = telemetry.startSpan(this.entry.spanName, SpanKind.SERVER, this.entry.attributes, parent);
    this.#admitted = true;
    const overloaded = load.inFlight >= maxInflight;
    load.inFlight++;
    if (overloaded) return overload(maxInflight);
    const identity = readIdentity(get);
    if (identity !== undefined) {
      this.identity = identity;
      this.span.setAttribute("uait.tenant", identity.tenant);
    } else if (!this.entry.tenantless) {
      return tenantMissing();
    }
    return undefined;
  }

  get log(): Logger {
    const { traceId, spanId } = this.span.spanContext();
    return this.#environment.telemetry.log.with({
      trace_id: traceId,
      span_id: spanId,
      tenant: this.identity.tenant,
      rpc_method: this.entry.spanName,
    });
  }

  /** Accounts for the call and returns the status as it shall leave; later ones change nothing. */
  finish(status: PartialStatus, newMetadata: () => Metadata): PartialStatus {
    if (!this.#admitted || this.#ended) return status;
    const metadata = status.metadata ?? newMetadata();
    metadata.set(LOAD_KEY, this.#environment.load.report);
    let message = status.details;
    if (status.code !== Status.OK) {
      const error = this.failure ?? this.#transportError(status);
      if (this.failure === undefined) {
        this.interruption = error;
        message = error.message;
      }
      const details = error.details();
      if (details !== undefined) metadata.set(STATUS_DETAILS_KEY, Buffer.from(details));
    }
    this.#end(status.code);
    return { code: status.code, details: message, metadata };
  }

  /** The stream closed; when that was before any status, the caller went away or its deadline passed. */
  closed(): void {
    if (!this.#admitted || this.#ended) return;
    this.interruption = this.#isDeadlineRace() ? deadlineExceeded() : cancelled();
    this.#end(this.interruption.code);
  }

  #isDeadlineRace(): boolean {
    if (this.deadlineMs === undefined) return false;
    const race = Math.min(DEADLINE_RACE_MS, (this.deadlineMs - this.#arrivedMs) / 2);
    return Date.now() >= this.deadlineMs - race;
  }

  #end(code: Status): void {
    this.#ended = true;
    const { load } = this.#environment;
    load.inFlight--;
    load.ended(code);
    this.entry.durations.observe(code, (performance.now() - this.#startedMs) / 1000);
    endSpan(this.span, code, SpanKind.SERVER);
  }

  // Statuses that grpc-js itself ends a call with: what it decides below the handler.
  #transportError({ code, details }: PartialStatus): StatusError {
    switch (code) {
      case Status.DEADLINE_EXCEEDED:
        return deadlineExceeded();
      case Status.RESOURCE_EXHAUSTED: {
        const limit = this.#environment.maxMessageBytes;
        return StatusError.of({
          code,
          reason: "MESSAGE_TOO_LARGE",
          message: `a message is larger than ${limit} bytes`,
          metadata: { limit_bytes: String(limit) },
        });
      }
      case Status.UNIMPLEMENTED:
        return StatusError.of({ code, reason: "NOT_IMPLEMENTED", message: details, metadata: { what: details } });
      case Status.CANCELLED:
        return cancelled();
      default:
        return StatusError.of({ code: Status.INTERNAL, reason: "INTERNAL", message: details });
    }
  }
}

function overload(limit: number): StatusError {
  return StatusError.of({
    code: Status.RESOURCE_EXHAUSTED,
    reason: "OVERLOADED",
    message: `${limit} calls are in flight already`,
    metadata: { limit: String(limit) },
    retryAfterMs: OVERLOAD_RETRY_MS,
  });
}
