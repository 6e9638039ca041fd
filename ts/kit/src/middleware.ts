import type { CallContext, Metadata } from "nice-grpc";
import { ServerError, type ServerMiddleware } from "nice-grpc-common";
import type { Identity } from "./identity.js";
import { CALL_KEY, type CallTable } from "./interceptor.js";
import { describeError, type Logger } from "./log.js";
import type { ServerCall } from "./server-call.js";
import { type ServerCallContext, validated } from "./service.js";
import { cancelled, type ErrorMap, Status, toStatusError } from "./status.js";
import type { SpanContext } from "./telemetry.js";

/** The inner layers of the server: validation, the handler's context, and the error map. */
export function createMiddleware(calls: CallTable, errors: ErrorMap | undefined): ServerMiddleware<ServerCallContext> {
  return async function* kitMiddleware(call, base) {
    const serverCall = calls.take(base.metadata.get(CALL_KEY));
    const context = new HandlerContext(base, serverCall);
    let finished = false;
    let code: Status = Status.OK;
    try {
      const request = call.requestStream
        ? validatedStream(call.request, serverCall, base.signal)
        : validated(call.request);
      if (call.responseStream) {
        yield* call.next(request, context);
        finished = true;
        return;
      }
      const response = yield* call.next(request, context);
      finished = true;
      return response;
    } catch (error) {
      finished = true;
      const status = serverCall.interruption ?? toStatusError(error, errors);
      if (status.code === Status.INTERNAL && status.cause !== undefined) {
        context.log.error("the handler failed", { error: describeError(status.cause) });
      }
      serverCall.failure = status;
      code = status.code;
      throw new ServerError(code, status.message);
    } finally {
      // nice-grpc abandons the generator of a stream whose caller is gone: neither branch above has run then.
      if (!finished) code = (serverCall.interruption ?? cancelled()).code;
      context.ended(code);
    }
  };
}

// nice-grpc ends the requests of a cut call as if the caller had half-closed; a handler must not take them for complete.
async function* validatedStream<Message>(
  messages: AsyncIterable<Message>,
  call: ServerCall,
  signal: AbortSignal,
): AsyncGenerator<Message, void, undefined> {
  for await (const message of messages) yield validated(message);
  if (call.interruption !== undefined) throw call.interruption;
  signal.throwIfAborted();
}

class HandlerContext implements CallContext, ServerCallContext {
  readonly metadata: Metadata;
  readonly peer: string;
  readonly header: Metadata;
  readonly trailer: Metadata;
  readonly signal: AbortSignal;
  readonly identity: Identity;
  readonly deadlineMs: number | undefined;
  readonly #base: CallContext;
  readonly #call: ServerCall;
  #log: Logger | undefined;
  #callbacks: ((code: Status) => void)[] | undefined;

  constructor(base: CallContext, call: ServerCall) {
    this.metadata = base.metadata;
    this.peer = base.peer;
    this.header = base.header;
    this.trailer = base.trailer;
    this.signal = base.signal;
    this.identity = call.identity;
    this.deadlineMs = call.deadlineMs;
    this.#base = base;
    this.#call = call;
  }

  get span(): SpanContext {
    return this.#call.span.spanContext();
  }

  get log(): Logger {
    this.#log ??= this.#call.log;
    return this.#log;
  }

  sendHeader(): void {
    this.#base.sendHeader();
  }

  onEnd(callback: (code: Status) => void): void {
    this.#callbacks ??= [];
    this.#callbacks.push(callback);
  }

  ended(code: Status): void {
    for (const callback of this.#callbacks ?? []) callback(code);
  }
}
