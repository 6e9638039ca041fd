import {
  cancelled,
  type Identity,
  readIdentity,
  readTraceParent,
  type SpanContext,
  SpanKind,
  type Telemetry,
  tenantMissing,
} from "@uait/kit";
import type { FastifyReply, FastifyRequest } from "fastify";
import { GatewayError } from "../error.js";
import { opens } from "../scope.js";

/** A call of the HTTP API: on whose behalf, in which trace, and until when it is waited for. */
export class HttpCall {
  readonly identity: Identity;
  readonly span: SpanContext;
  /** Aborted when the caller goes. */
  readonly signal: AbortSignal;
  readonly deadlineMs = undefined;

  private constructor(identity: Identity, span: SpanContext, signal: AbortSignal) {
    this.identity = identity;
    this.span = span;
    this.signal = signal;
  }

  /** Does what is asked, in a span of its own. @throws StatusError without a tenant; whatever the work throws */
  static async run<Answer>(
    options: {
      readonly request: FastifyRequest;
      readonly reply: FastifyReply;
      readonly telemetry: Telemetry;
      /** Of the span: method and route. */
      readonly name: string;
    },
    work: (call: HttpCall) => Promise<Answer>,
  ): Promise<Answer> {
    const { request, reply, telemetry, name } = options;
    const header = (key: string): string | undefined => {
      const value = request.headers[key];
      return Array.isArray(value) ? value[0] : value;
    };
    // Envoy has verified the key and put these headers in place of the caller's.
    const identity = readIdentity(header);
    if (identity === undefined) throw tenantMissing();
    const [method = "", route = ""] = name.split(" ");
    const attributes = { "http.request.method": method, "http.route": route, "uait.tenant": identity.tenant };
    const parent = readTraceParent(header("traceparent"), header("tracestate"));
    const span = telemetry.startSpan(name, SpanKind.SERVER, attributes, parent);
    const gone = new AbortController();
    reply.raw.once("close", () => {
      if (!reply.raw.writableFinished) gone.abort(cancelled());
    });
    try {
      return await work(new HttpCall(identity, span.spanContext(), gone.signal));
    } catch (error) {
      span.setAttribute("error.type", error instanceof Error ? error.name : "unknown");
      throw error;
    } finally {
      span.end();
    }
  }

  /** @throws GatewayError `scope_missing` */
  demand(scope: string): void {
    if (!opens(this.identity.scopes, scope)) throw new GatewayError({ kind: "scope_missing", scope });
  }

  /** Whether the caller may. */
  may(scope: string): boolean {
    return opens(this.identity.scopes, scope);
  }
}
