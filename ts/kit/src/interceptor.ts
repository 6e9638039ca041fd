import {
  Metadata,
  type Responder,
  ServerInterceptingCall,
  type ServerInterceptingCallInterface,
  type ServerInterceptor,
} from "@grpc/grpc-js";
import { mirrorCompression } from "./compression.js";
import type { Connections } from "./connections.js";
import { type CallEnvironment, type MethodEntry, ServerCall } from "./server-call.js";
import { Status } from "./status.js";

type Listener = Parameters<ServerInterceptingCallInterface["start"]>[0];

// nice-grpc builds its context from metadata alone, so a call finds its way from the transport to the handler by a
// number in this key, which the interceptor overwrites whatever a caller sent.
export const CALL_KEY = "x-uait-kit-call";

/** The calls that have been admitted and whose handlers have not begun, by slot and serial number. */
export class CallTable {
  // Not a Map, whose tables keep each other's calls from the garbage collector (deploy/decisions/0196).
  readonly #slots: (Entry | undefined)[] = [];
  readonly #free: number[] = [];
  #serial = 0;

  add(call: ServerCall): string {
    const slot = this.#free.pop() ?? this.#slots.length;
    const key = `${slot}.${this.#serial++}`;
    this.#slots[slot] = { key, call };
    return key;
  }

  take(key: string | undefined): ServerCall {
    const call = key === undefined ? undefined : this.#remove(key);
    if (call === undefined) throw new Error("a call reached the handler but not the interceptor");
    return call;
  }

  /** Forgets a call that was cut before its request was complete, and so never reaches the handler. */
  abandon(key: string): void {
    // The handler of a complete request may be due in this very turn.
    setImmediate(() => this.#remove(key));
  }

  #remove(key: string): ServerCall | undefined {
    const slot = Number.parseInt(key, 10);
    const entry = this.#slots[slot];
    // The slot may be another call's by now.
    if (entry?.key !== key) return undefined;
    this.#slots[slot] = undefined;
    this.#free.push(slot);
    return entry.call;
  }
}

interface Entry {
  readonly key: string;
  readonly call: ServerCall;
}

/**
 * The layers of the server that must see every call, whatever ends it: span and metrics, overload limit, identity, and
 * the details and load report on each status. Below nice-grpc, because grpc-js itself ends calls (deadline, oversized
 * message, broken frame) that no handler would see.
 *
 * They replace two methods of grpc-js's base call instead of wrapping it: the wrapper, its listener and their closures
 * cost a tenth of what a bare call does (deploy/decisions/0170), and the statuses that the base call sends by itself
 * would not pass through it.
 */
export function createInterceptor(
  methods: ReadonlyMap<string, MethodEntry>,
  environment: CallEnvironment,
  calls: CallTable,
  connections: Connections,
): ServerInterceptor {
  return (descriptor, base) => {
    connections.watch(base);
    const entry = methods.get(descriptor.path);
    if (entry !== undefined) {
      const deadline = Number(base.getDeadline());
      const call = new ServerCall(entry, environment, Number.isFinite(deadline) ? deadline : undefined);
      finishEveryStatus(base, call);
      admitFirst(base, call, calls);
      const responder = compressingResponder(base, environment.maxMessageBytes);
      if (responder !== undefined) return new ServerInterceptingCall(base, responder);
    }
    // grpc-js asks nothing of a call but this interface, though its type names the wrapper's class.
    return base as unknown as ServerInterceptingCall;
  };
}

// grpc-js's base call sends its own statuses through this method too, so replacing it on the instance reaches them all.
function finishEveryStatus(base: ServerInterceptingCallInterface, call: ServerCall): void {
  const send = base.sendStatus;
  base.sendStatus = (status) =>
    send.call(
      base,
      call.finish(status, () => new Metadata()),
    );
}

function admitFirst(base: ServerInterceptingCallInterface, call: ServerCall, calls: CallTable): void {
  const start = base.start;
  base.start = (listener) => start.call(base, new AdmittingListener(listener, base, call, calls));
}

/** Lets a call in, or refuses it, when its metadata has come; tells its record when it was cut. */
class AdmittingListener implements Listener {
  readonly #next: Listener;
  readonly #base: ServerInterceptingCallInterface;
  readonly #call: ServerCall;
  readonly #calls: CallTable;
  #key: string | undefined;
  #cut = false;

  constructor(next: Listener, base: ServerInterceptingCallInterface, call: ServerCall, calls: CallTable) {
    this.#next = next;
    this.#base = base;
    this.#call = call;
    this.#calls = calls;
  }

  onReceiveMetadata(metadata: Metadata): void {
    const refusal = this.#call.admit(metadata);
    if (refusal !== undefined) {
      this.#call.failure = refusal;
      this.#base.sendStatus({ code: refusal.code, details: refusal.message, metadata: null });
      return;
    }
    this.#key = this.#calls.add(this.#call);
    metadata.set(CALL_KEY, this.#key);
    this.#next.onReceiveMetadata(metadata);
  }

  onReceiveMessage(message: unknown): void {
    if (!this.#cut) this.#next.onReceiveMessage(message);
  }

  onReceiveHalfClose(): void {
    if (!this.#cut) this.#next.onReceiveHalfClose();
  }

  onCancel(): void {
    this.#cut = true;
    this.#call.closed();
    if (this.#key !== undefined) this.#calls.abandon(this.#key);
    this.#next.onCancel();
  }
}

function compressingResponder(base: ServerInterceptingCallInterface, maxMessageBytes: number): Responder | undefined {
  const compress = mirrorCompression(base, maxMessageBytes);
  if (compress === undefined) return undefined;
  return {
    sendMetadata(metadata, next) {
      metadata.set("grpc-encoding", "gzip");
      next(metadata);
    },
    sendMessage(message, next) {
      compress(message).then(next, (error: unknown) => {
        const code = error instanceof RangeError ? Status.RESOURCE_EXHAUSTED : Status.INTERNAL;
        base.sendStatus({ code, details: "the response cannot be encoded", metadata: null });
      });
    },
  };
}
