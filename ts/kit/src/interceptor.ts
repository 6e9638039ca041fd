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

// nice-grpc builds its context from metadata alone, so a call finds its way from the transport to the middleware by a
// number in this key, which the interceptor overwrites whatever a caller sent.
export const CALL_KEY = "x-uait-kit-call";

/** The calls that have been admitted and whose handlers have not ended, by their number. */
export class CallTable {
  readonly #calls = new Map<string, ServerCall>();
  #next = 0;

  add(call: ServerCall): string {
    const key = String(this.#next++);
    this.#calls.set(key, call);
    return key;
  }

  take(key: string | undefined): ServerCall {
    const call = key === undefined ? undefined : this.#calls.get(key);
    if (key === undefined || call === undefined)
      throw new Error("a call reached the middleware but not the interceptor");
    this.#calls.delete(key);
    return call;
  }

  /** Forgets a call that was cut before its request was complete, and so never reaches the middleware. */
  abandon(key: string): void {
    // The middleware of a complete request may be due in this very turn.
    if (this.#calls.has(key)) setImmediate(() => this.#calls.delete(key));
  }
}

/**
 * The layers of the server that must see every call, whatever ends it: span and metrics, overload limit, identity, and
 * the details and load report on each status. Below nice-grpc, because grpc-js itself ends calls (deadline, oversized
 * message, broken frame) that no middleware would see.
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
    if (entry === undefined) return new ServerInterceptingCall(base);
    const deadline = Number(base.getDeadline());
    const call = new ServerCall(entry, environment, Number.isFinite(deadline) ? deadline : undefined);
    let key: string | undefined;
    finishEveryStatus(base, call);
    return new ServerInterceptingCall(base, {
      ...compressingResponder(base, environment.maxMessageBytes),
      start(next) {
        next({
          onReceiveMetadata(metadata, forward) {
            const refusal = call.admit(metadata);
            if (refusal !== undefined) {
              call.failure = refusal;
              base.sendStatus({ code: refusal.code, details: refusal.message, metadata: null });
              return;
            }
            key = calls.add(call);
            metadata.set(CALL_KEY, key);
            forward(metadata);
          },
          onCancel() {
            call.closed();
            if (key !== undefined) calls.abandon(key);
          },
        });
      },
    });
  };
}

// grpc-js's base call sends its own statuses through this method too, so replacing it on the instance reaches them all.
function finishEveryStatus(base: ServerInterceptingCallInterface, call: ServerCall): void {
  const send = base.sendStatus.bind(base);
  base.sendStatus = (status) => send(call.finish(status, () => new Metadata()));
}

function compressingResponder(base: ServerInterceptingCallInterface, maxMessageBytes: number): Responder {
  const compress = mirrorCompression(base, maxMessageBytes);
  if (compress === undefined) return {};
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
