import type { CallContext, Metadata } from "nice-grpc";
import { ServerError } from "nice-grpc-common";
import type { Identity } from "./identity.js";
import { CALL_KEY, type CallTable } from "./interceptor.js";
import { describeError, type Logger } from "./log.js";
import type { ServerCall } from "./server-call.js";
import { type BoundService, type ServerCallContext, validated } from "./service.js";
import { cancelled, type ErrorMap, Status, toStatusError } from "./status.js";
import type { SpanContext } from "./telemetry.js";

type Handler<Result> = (request: unknown, context: HandlerContext) => Result;
type WrappedHandler = (request: unknown, base: CallContext) => unknown;

/**
 * Puts the inner layers of the server around each handler of a service: validation, the handler's context, and the
 * error map. Once, when the service is registered: nice-grpc's middlewares are async generators, of which each costs a
 * call more than all that is done here (deploy/decisions/0170).
 */
export function wrapHandlers(service: BoundService, calls: CallTable): Record<string, WrappedHandler> {
  const { definition, implementation, errors } = service;
  const wrapped: Record<string, WrappedHandler> = {};
  for (const [key, { requestStream, responseStream }] of Object.entries(definition)) {
    const handler = (implementation as Record<string, Handler<unknown>>)[key]?.bind(implementation);
    const check = requestStream ? validatedStream : validated;
    wrapped[key] = responseStream
      ? wrapStreaming(handler as Handler<AsyncIterable<unknown>>, check, calls, errors)
      : wrapUnary(handler as Handler<Promise<unknown>>, check, calls, errors);
  }
  return wrapped;
}

/** Holds what a handler is given to the rules; throws when it is one message that breaks them. */
type Check = (request: never, context: HandlerContext) => unknown;

function wrapUnary(
  handler: Handler<Promise<unknown>>,
  check: Check,
  calls: CallTable,
  errors: ErrorMap | undefined,
): WrappedHandler {
  return async (request, base) => {
    const context = new HandlerContext(base, calls);
    try {
      const response = await handler(check(request as never, context), context);
      if (response === undefined || response === null) throw new TypeError("the handler returned no message");
      context.ended(Status.OK);
      return response;
    } catch (error) {
      throw context.failed(error, errors);
    }
  };
}

function wrapStreaming(
  handler: Handler<AsyncIterable<unknown>>,
  check: Check,
  calls: CallTable,
  errors: ErrorMap | undefined,
): WrappedHandler {
  return async function* streamingHandler(request, base) {
    const context = new HandlerContext(base, calls);
    let finished = false;
    try {
      yield* handler(check(request as never, context), context);
      finished = true;
      context.ended(Status.OK);
    } catch (error) {
      finished = true;
      throw context.failed(error, errors);
    } finally {
      // nice-grpc abandons the generator of a stream whose caller is gone: neither branch above has run then.
      if (!finished) context.abandoned();
    }
  };
}

// nice-grpc ends the requests of a cut call as if the caller had half-closed; a handler must not take them for complete.
async function* validatedStream(
  messages: AsyncIterable<unknown>,
  context: HandlerContext,
): AsyncGenerator<unknown, void, undefined> {
  for await (const message of messages) yield validated(message);
  context.throwIfInterrupted();
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

  constructor(base: CallContext, calls: CallTable) {
    const call = calls.take(base.metadata.get(CALL_KEY));
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

  throwIfInterrupted(): void {
    if (this.#call.interruption !== undefined) throw this.#call.interruption;
    this.signal.throwIfAborted();
  }

  ended(code: Status): void {
    if (this.#callbacks !== undefined) for (const callback of this.#callbacks) callback(code);
  }

  /** Ends the handler's part of the call. @returns what nice-grpc shall be thrown. */
  failed(error: unknown, errors: ErrorMap | undefined): ServerError {
    const status = this.#call.interruption ?? toStatusError(error, errors);
    if (status.code === Status.INTERNAL && status.cause !== undefined) {
      this.log.error("the handler failed", { error: describeError(status.cause) });
    }
    this.#call.failure = status;
    this.ended(status.code);
    return new ServerError(status.code, status.message);
  }

  abandoned(): void {
    this.ended((this.#call.interruption ?? cancelled()).code);
  }
}
