import { connect } from "node:http2";
import { setTimeout as delay } from "node:timers/promises";
import { createClient } from "nice-grpc";
import {
  HealthCheckResponse_ServingStatus,
  HealthDefinition,
} from "nice-grpc-server-health/lib/proto/grpc/health/v1/health.js";
import { afterEach, describe, expect, test } from "vitest";
import type { KitContext } from "./service.js";
import { Status } from "./status.js";
import {
  drainStream,
  failureOf,
  openTestClient,
  startTestServer,
  type TestServer,
  waitUntil,
} from "./testing/index.js";

const closers: (() => Promise<void> | void)[] = [];

afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

async function start(...args: Parameters<typeof startTestServer>) {
  const server = await startTestServer(...args);
  closers.push(() => server.drain());
  const client = openTestClient(server.address);
  closers.push(() => client.channel.close());
  return { server, client };
}

async function scrape(server: TestServer, path: string): Promise<string> {
  return await (await fetch(`http://${server.httpAddress}${path}`)).text();
}

/** A connection whose pings are the test's own. */
function openSession(server: TestServer) {
  const session = connect(`http://${server.address}`);
  closers.push(() => session.destroy());
  session.on("error", () => undefined);
  const call = async () => {
    const stream = session.request({
      ":method": "POST",
      ":path": "/uait.echo.v1.EchoService/Echo",
      "content-type": "application/grpc",
    });
    stream.on("error", () => undefined);
    stream.resume().end();
    await new Promise((resolve) => stream.once("close", resolve));
  };
  const ping = () =>
    new Promise<void>((resolve, reject) => {
      session.ping((error) => (error === null ? resolve() : reject(error)));
    });
  return { session, call, ping };
}

/** A handler that never ends by itself, and what became of it. */
function hangingHandler() {
  const seen: { context?: KitContext; ended?: Status } = {};
  const echo = async (_: unknown, context: KitContext): Promise<never> => {
    seen.context = context;
    context.onEnd((code) => {
      seen.ended = code;
    });
    return await new Promise((_resolve, reject) => {
      context.signal.addEventListener("abort", () => reject(new Error("stopped")));
    });
  };
  return { seen, echo };
}

describe("a handler's end", () => {
  test("deadline_passed_stops_the_handler_and_is_recorded_as_such", async () => {
    const { seen, echo } = hangingHandler();
    const { client, server } = await start({ echo });
    const error = await failureOf((options) =>
      client.echo.echo({ message: "x" }, { ...options, metadata: client.metadata({ "grpc-timeout": "100m" }) }),
    );
    expect(error).toMatchObject({ code: Status.DEADLINE_EXCEEDED, reason: "DEADLINE_EXCEEDED" });
    await waitUntil("the handler ends", () => seen.ended !== undefined);
    expect(seen.ended).toBe(Status.DEADLINE_EXCEEDED);
    expect(await scrape(server, "/metrics")).toContain('rpc_method="Echo",rpc_grpc_status_code="4"} 1');
  });

  test("cancellation_stops_the_handler_and_is_recorded_as_such", async () => {
    const { seen, echo } = hangingHandler();
    const { client } = await start({ echo });
    const cancel = new AbortController();
    const metadata = client.metadata({ "grpc-timeout": "60S" });
    const call = client.echo.echo({ message: "x" }, { metadata, signal: cancel.signal });
    await waitUntil("the handler runs", () => seen.context !== undefined);
    cancel.abort();
    await expect(call).rejects.toThrow();
    await waitUntil("the handler ends", () => seen.ended !== undefined);
    expect(seen.ended).toBe(Status.CANCELLED);
  });

  test("caller_gone_just_before_the_deadline_counts_as_the_deadline", async () => {
    const { seen, echo } = hangingHandler();
    const { client } = await start({ echo });
    const cancel = new AbortController();
    const metadata = client.metadata({ "grpc-timeout": "2000m" });
    const call = client.echo.echo({ message: "x" }, { metadata, signal: cancel.signal });
    await waitUntil(
      "the deadline is near",
      () => (seen.context?.deadlineMs ?? Number.POSITIVE_INFINITY) - Date.now() < 150,
    );
    cancel.abort();
    await expect(call).rejects.toThrow();
    await waitUntil("the handler ends", () => seen.ended !== undefined);
    expect(seen.ended).toBe(Status.DEADLINE_EXCEEDED);
  });

  test("client_stream_that_is_cut_is_not_taken_for_complete", async () => {
    const ends: Status[] = [];
    let received = 0;
    let completed = false;
    const { server } = await start({
      async collect(requests, context) {
        context.onEnd((code) => ends.push(code));
        for await (const _ of requests) received++;
        completed = true;
        return { count: received };
      },
    });
    // Cut by the connection: Node's own clients half-close a stream that they cancel, before they reset it.
    const session = connect(`http://${server.address}`).on("error", () => undefined);
    const call = session.request({
      ":method": "POST",
      ":path": "/uait.echo.v1.EchoService/Collect",
      "content-type": "application/grpc",
      "x-uait-tenant": "acme",
    });
    call.on("error", () => undefined);
    const A_MESSAGE = Uint8Array.of(0, 0, 0, 0, 3, 0x0a, 1, 0x61);
    call.write(A_MESSAGE);
    await waitUntil("a message has come", () => received === 1);
    session.destroy();
    await waitUntil("the handler ends", () => ends.length === 1);
    expect(ends).toEqual([Status.CANCELLED]);
    expect(completed).toBe(false);
  });

  test("unknown_error_is_internal_and_its_text_is_logged_only", async () => {
    const { client, server } = await start({
      echo: () => {
        throw new Error("hunter2");
      },
    });
    const metadata = client.metadata({ traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01" });
    const error = await failureOf((options) => client.echo.echo({ message: "x" }, { ...options, metadata }));
    expect(error).toMatchObject({ code: Status.INTERNAL, reason: "INTERNAL", message: "internal error" });
    const line = server.logLines.find((each) => each.includes("hunter2"));
    expect(JSON.parse(line ?? "{}")).toMatchObject({ level: "error", trace_id: "4bf92f3577b34da6a3ce929d0e0e4736" });
  });
});

describe("limits", () => {
  test("request_over_the_limit_is_refused_with_the_limit", async () => {
    const { client } = await start(
      { echo: async ({ message }) => ({ message }) },
      { env: { UAIT_MAX_MESSAGE_BYTES: "2048" } },
    );
    const request = { message: "x", payload: Buffer.alloc(4096) };
    const error = await failureOf((options) => client.echo.echo(request, { ...options, metadata: client.metadata() }));
    expect(error).toMatchObject({
      code: Status.RESOURCE_EXHAUSTED,
      reason: "MESSAGE_TOO_LARGE",
      metadata: { limit_bytes: "2048" },
    });
  });

  test("response_over_the_limit_is_refused_with_the_limit", async () => {
    const { client } = await start(
      { echo: async ({ message }) => ({ message, payload: Buffer.alloc(4096) }) },
      { env: { UAIT_MAX_MESSAGE_BYTES: "2048" } },
    );
    const error = await failureOf((options) =>
      client.echo.echo({ message: "x" }, { ...options, metadata: client.metadata() }),
    );
    expect(error).toMatchObject({ code: Status.RESOURCE_EXHAUSTED, reason: "MESSAGE_TOO_LARGE" });
  });

  test("call_over_the_calls_in_flight_is_refused_and_the_next_one_taken", async () => {
    const { seen, echo } = hangingHandler();
    const { client } = await start({ echo, expand: async function* () {} }, { env: { UAIT_MAX_INFLIGHT: "1" } });
    const cancel = new AbortController();
    const first = client.echo.echo({ message: "x" }, { metadata: client.metadata(), signal: cancel.signal });
    await waitUntil("the first call runs", () => seen.context !== undefined);
    const expand = (options: object) =>
      drainStream(client.echo.expand({ message: "x", count: 1 }, { ...options, metadata: client.metadata() }));
    expect(await failureOf(expand)).toMatchObject({
      code: Status.RESOURCE_EXHAUSTED,
      reason: "OVERLOADED",
      metadata: { limit: "1" },
      retryAfterMs: 100,
    });
    cancel.abort();
    await expect(first).rejects.toThrow();
    await waitUntil("the first call has ended", () => seen.ended !== undefined);
    expect(await expand({})).toEqual([]);
  });

  test.each([
    ["one_by_one", 1],
    ["in_bursts", 2],
  ])("client_that_pings_too_often_%s_is_sent_away", async (_, burst) => {
    const { server } = await start({ echo: async ({ message }) => ({ message }) });
    const { session, call, ping } = openSession(server);
    const goaway = new Promise<number>((resolve) => session.once("goaway", resolve));
    await call();
    for (let count = 0; count < 10 && !session.destroyed; count++) {
      await Promise.race([goaway, Promise.all(Array.from({ length: burst }, ping))]);
    }
    const ENHANCE_YOUR_CALM = 11;
    expect(await goaway).toBe(ENHANCE_YOUR_CALM);
  });

  test("client_that_pings_while_it_is_answered_is_kept", async () => {
    const { server } = await start({ echo: async ({ message }) => ({ message }) });
    const { session, call, ping } = openSession(server);
    for (let count = 0; count < 8; count++) {
      await call();
      await ping();
    }
    await call();
    expect([session.closed, session.destroyed]).toEqual([false, false]);
  });
});

describe("identity", () => {
  test("call_without_a_tenant_never_reaches_the_handler", async () => {
    let calls = 0;
    const { client } = await start({
      echo: async ({ message }) => {
        calls++;
        return { message };
      },
    });
    const error = await failureOf((options) => client.echo.echo({ message: "" }, options));
    expect(error).toMatchObject({ code: Status.UNAUTHENTICATED, reason: "TENANT_MISSING" });
    expect(calls).toBe(0);
  });

  test("tenantless_service_takes_calls_without_a_tenant", async () => {
    const { client } = await start({ echo: async ({ message }) => ({ message }) }, { tenantless: true });
    expect((await client.echo.echo({ message: "x" })).message).toBe("x");
  });

  test("callers_own_call_number_is_not_believed", async () => {
    const { client } = await start({
      echo: async ({ message }, { identity }) => ({ message, seen: { tenant: identity.tenant } }),
    });
    const metadata = client.metadata({ "x-uait-kit-call": "0" });
    expect((await client.echo.echo({ message: "x" }, { metadata })).seen?.tenant).toBe("acme");
  });
});

describe("drain", () => {
  test("drain_lets_calls_under_way_end_and_tells_health_first", async () => {
    const { client, server } = await start(
      {
        echo: async ({ message }) => {
          await delay(600);
          return { message };
        },
      },
      { env: { UAIT_DRAIN_DELAY_MS: "300" } },
    );
    const health = createClient(HealthDefinition, client.channel);
    expect((await health.check({ service: "" })).status).toBe(HealthCheckResponse_ServingStatus.SERVING);
    expect((await health.check({ service: "uait.echo.v1.EchoService" })).status).toBe(
      HealthCheckResponse_ServingStatus.SERVING,
    );
    expect((await health.check({ service: "events" })).status).toBe(HealthCheckResponse_ServingStatus.NOT_SERVING);
    const watched: number[] = [];
    const watch = (async () => {
      for await (const { status } of health.watch({ service: "" })) watched.push(status);
    })();
    const ended = expect(watch).rejects.toThrow();
    await waitUntil("the watch has begun", () => watched.length === 1);
    const early = client.echo.echo({ message: "early" }, { metadata: client.metadata() });
    const drained = server.drain();
    await waitUntil("the watch tells", () => watched.length === 2);
    expect((await health.check({ service: "" })).status).toBe(HealthCheckResponse_ServingStatus.NOT_SERVING);
    const healthz = await fetch(`http://${server.httpAddress}/healthz`);
    expect([healthz.status, await healthz.json()]).toEqual([
      503,
      { status: "NOT_SERVING", checks: { nats: "off", jaeger: "off", balancer: "off" } },
    ]);
    const late = client.echo.echo({ message: "late" }, { metadata: client.metadata() });
    expect((await early).message).toBe("early");
    expect((await late).message).toBe("late");
    await drained;
    await ended;
    expect(watched).toEqual([HealthCheckResponse_ServingStatus.SERVING, HealthCheckResponse_ServingStatus.NOT_SERVING]);
    await expect(fetch(`http://${server.httpAddress}/healthz`)).rejects.toThrow();
  });

  test("drain_past_its_timeout_cuts_calls_off", async () => {
    const { seen, echo } = hangingHandler();
    const { client, server } = await start({ echo }, { env: { UAIT_DRAIN_TIMEOUT_MS: "200" } });
    const call = client.echo.echo({ message: "x" }, { metadata: client.metadata() });
    const failed = expect(call).rejects.toThrow();
    await waitUntil("the call runs", () => seen.context !== undefined);
    await server.drain();
    await failed;
    await waitUntil("the handler is stopped", () => seen.ended !== undefined);
  });
});

describe("the HTTP port", () => {
  test("request_that_the_kit_has_no_route_for_is_the_services_own", async () => {
    const { server } = await start(
      {},
      { httpHandler: ({ method, url }, response) => response.writeHead(201).end(`${method} ${url}`) },
    );
    expect(await scrape(server, "/v1/models?x=1")).toBe("GET /v1/models?x=1");
    expect(await scrape(server, "/constructor")).toBe("GET /constructor");
    expect(await scrape(server, "/metrics?x=1")).toContain("rpc_server_in_flight");
  });

  test("drain_waits_for_requests_of_the_service_then_for_its_work_in_the_background", async () => {
    const order: string[] = [];
    const begun: (() => void)[] = [];
    const { server } = await start(
      {},
      {
        httpHandler: ({ url }, response) => {
          if (url !== "/slow") return response.end();
          response.once("close", () => order.push("answered"));
          return begun.push(() => response.end("done"));
        },
        background: async () => {
          order.push("background");
        },
      },
    );
    const answer = scrape(server, "/slow");
    await waitUntil("it is under way", () => begun.length === 1);
    const drained = server.drain();
    await waitUntil("no more are taken", async () => {
      const { status } = await fetch(`http://${server.httpAddress}/other`);
      return status === 503;
    });
    begun[0]?.();
    expect(await answer).toBe("done");
    await drained;
    expect(order).toEqual(["answered", "background"]);
  });

  test("healthz_and_metrics_have_the_documented_names", async () => {
    const { client, server } = await start({ echo: async ({ message }) => ({ message }) });
    await client.echo.echo({ message: "x" }, { metadata: client.metadata() });
    expect(JSON.parse(await scrape(server, "/healthz"))).toEqual({
      status: "SERVING",
      checks: { nats: "off", jaeger: "off", balancer: "off" },
    });
    const metrics = await scrape(server, "/metrics");
    for (const name of [
      'rpc_server_duration_seconds_count{rpc_service="uait.echo.v1.EchoService",rpc_method="Echo",rpc_grpc_status_code="0"} 1',
      "rpc_server_in_flight 0",
      "# TYPE events_published_total counter",
      "# TYPE events_handled_total counter",
      "process_resident_memory_bytes ",
      "process_cpu_seconds_total ",
    ]) {
      expect(metrics).toContain(name);
    }
    expect((await fetch(`http://${server.httpAddress}/nothing`)).status).toBe(404);
  });

  test("port_in_use_is_refused_by_name_and_leaves_nothing_bound", async () => {
    const { server } = await start({});
    const [, port = ""] = server.address.split(":");
    const [, httpPort = ""] = server.httpAddress.split(":");
    await expect(startTestServer({}, { env: { UAIT_PORT: port } })).rejects.toMatchObject({
      message: `UAIT_PORT=${port}: 127.0.0.1:${port} is in use`,
      exitCode: 69,
    });
    await expect(startTestServer({}, { env: { UAIT_HTTP_PORT: httpPort } })).rejects.toMatchObject({
      message: `UAIT_HTTP_PORT=${httpPort}: 127.0.0.1:${httpPort} is in use`,
      exitCode: 69,
    });
  });
});
