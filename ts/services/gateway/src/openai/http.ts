import type { IncomingMessage, ServerResponse } from "node:http";
import { LlmRouterServiceDefinition } from "@uait/gen/uait/llm_router/v1/llm_router.js";
import { OrchestratorServiceDefinition } from "@uait/gen/uait/orchestrator/v1/orchestrator.js";
import type { HttpHandler, Mesh, Telemetry } from "@uait/kit";
import fastify, { type FastifyReply } from "fastify";
import type { Jwks } from "../jwks-feed.js";
import { HttpCall } from "./call.js";
import { type ChatRequest, chatRequest, ORCHESTRATOR_MODEL } from "./chat-request.js";
import { type CompletionEvent, completionStream, wholeCompletion } from "./completion.js";
import { badBody, httpError, isInternal, type OpenAiError, openAiError } from "./error.js";
import { sendStream } from "./event-stream.js";
import { listModels, modelMissing } from "./models.js";
import { orchestratorCompletion } from "./orchestrator-completion.js";
import { routerCompletion } from "./router-completion.js";

export interface HttpOptions {
  readonly mesh: Mesh;
  readonly telemetry: Telemetry;
  /** Public halves of the keys that open something; `undefined` while they are not known. */
  readonly jwks: () => Promise<Jwks | undefined>;
  /** Unix time in milliseconds. */
  readonly now: () => number;
  readonly newId: () => string;
}

/** Largest body, as the edge has it (MAX_REST_BYTES of ts/apps/cli/src/envoy/render.ts), in bytes. */
const MAX_BODY_BYTES = 6_291_456;

/** What the gateway answers over HTTP: OpenAI's API under `/v1`, and the JWKS that Envoy reads. */
export async function createHttp(options: HttpOptions): Promise<HttpHandler> {
  const { mesh, telemetry, jwks, now, newId } = options;
  const router = mesh.client(LlmRouterServiceDefinition);
  const orchestrator = mesh.client(OrchestratorServiceDefinition);
  const app = fastify({ bodyLimit: MAX_BODY_BYTES, logger: false });

  app.setNotFoundHandler((request, reply) =>
    send(reply, httpError(404, `no such path: ${request.method} ${request.url}`)),
  );
  app.setErrorHandler((error: Error & { statusCode?: number }, _, reply) => {
    const { statusCode } = error;
    if (statusCode !== undefined && statusCode < 500) return send(reply, httpError(statusCode, error.message));
    if (isInternal(error)) telemetry.log.error("the request failed", { error });
    return send(reply, openAiError(error));
  });

  app.get("/.well-known/jwks.json", async (_, reply) => {
    const keys = await jwks();
    void reply.header("cache-control", "no-store");
    // Envoy keeps what it has until it gets a whole set.
    if (keys === undefined) return reply.code(503).send({ error: "the keys have not been read yet" });
    return reply.send(keys);
  });

  app.get("/v1/models", (request, reply) =>
    HttpCall.run({ request, reply, telemetry, name: "GET /v1/models" }, async (call) => ({
      object: "list",
      data: await listModels(router, call),
    })),
  );
  app.get("/v1/models/*", (request, reply) =>
    HttpCall.run({ request, reply, telemetry, name: "GET /v1/models/{model}" }, async (call) => {
      const { "*": name } = request.params as { "*": string };
      const found = (await listModels(router, call)).find(({ id }) => id === name);
      if (found === undefined) throw modelMissing(name);
      return found;
    }),
  );

  app.post("/v1/chat/completions", (request, reply) =>
    HttpCall.run({ request, reply, telemetry, name: "POST /v1/chat/completions" }, async (call) => {
      const body = chatRequest.safeParse(request.body);
      if (!body.success) throw badBody(body.error);
      const head = { id: `chatcmpl-${newId()}`, created: Math.floor(now() / 1000), model: body.data.model };
      const events = answerOf(body.data, call);
      if (body.data.stream !== true) return await wholeCompletion(head, events);
      const includeUsage = body.data.stream_options?.include_usage === true;
      // An error before the first event has a status of its own.
      await sendStream(reply, completionStream(head, await begun(events), includeUsage), call);
      return undefined;
    }),
  );

  function answerOf(request: ChatRequest, call: HttpCall): AsyncIterable<CompletionEvent> {
    if (request.model !== ORCHESTRATOR_MODEL) {
      call.demand("llm-router.write");
      return routerCompletion(router, request, call);
    }
    call.demand("orchestrator.write");
    return orchestratorCompletion(orchestrator, { request, requestId: newId() }, call);
  }

  await app.ready();
  return (request: IncomingMessage, response: ServerResponse) => app.routing(request, response);
}

function send(reply: FastifyReply, { status, retryAfterSeconds, body }: OpenAiError): FastifyReply {
  if (retryAfterSeconds !== undefined) void reply.header("retry-after", String(retryAfterSeconds));
  return reply.code(status).send(body);
}

/** The same events, the first of which has come. @throws whatever comes in its place */
async function begun<Event>(events: AsyncIterable<Event>): Promise<AsyncIterable<Event>> {
  const iterator = events[Symbol.asyncIterator]();
  const first = await iterator.next();
  async function* all(): AsyncGenerator<Event> {
    if (first.done === true) return;
    try {
      yield first.value;
      for (;;) {
        const { done, value } = await iterator.next();
        if (done === true) return;
        yield value;
      }
    } finally {
      await iterator.return?.(undefined);
    }
  }
  return all();
}
