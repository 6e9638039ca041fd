import { constants, createServer } from "node:http2";
import { EchoServiceDefinition } from "@uait/gen/uait/echo/v1/echo.js";
import { afterEach, expect, test, vi } from "vitest";
import { dial, type Mesh } from "./dial.js";
import type { KitContext } from "./service.js";
import { Status, StatusError } from "./status.js";
import { startTelemetry } from "./telemetry.js";
import { drainStream, freePort, startTestServer, testConfig, waitUntil } from "./testing/index.js";

const closers: (() => Promise<void> | void)[] = [];

afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

async function open(
  handlers: Parameters<typeof startTestServer>[0],
  env: Record<string, string> = {},
): Promise<{ mesh: Mesh; echo: ReturnType<typeof client> }> {
  const server = await startTestServer(handlers);
  closers.push(() => server.drain());
  return openMesh(server.address, env);
}

async function openMesh(address: string, env: Record<string, string> = {}) {
  const config = testConfig({ UAIT_MESH: address, ...env });
  const mesh = dial({ config, telemetry: await startTelemetry(config) });
  closers.push(() => mesh.close());
  return { mesh, echo: client(mesh) };
}

function client(mesh: Mesh) {
  return mesh.client(EchoServiceDefinition);
}

const IDENTITY = { tenant: "acme", subject: "user:7", scopes: ["a.read", "b.write"] };
const SPAN = { traceId: "4bf92f3577b34da6a3ce929d0e0e4736", spanId: "00f067aa0ba902b7", traceFlags: 1 };

function from(more: Partial<KitContext> = {}): Pick<KitContext, "identity" | "deadlineMs" | "signal" | "span"> {
  return { identity: IDENTITY, deadlineMs: undefined, signal: new AbortController().signal, span: SPAN, ...more };
}

test("call_forwards_identity_trace_deadline_and_service", async () => {
  let seen: KitContext | undefined;
  const { echo } = await open({
    echo: async ({ message }, context) => {
      seen = context;
      return { message };
    },
  });
  const deadlineMs = Date.now() + 5000;
  await echo.echo({ message: "x" }, { from: from({ deadlineMs }), service: "echo-go" });
  expect(seen?.identity).toEqual(IDENTITY);
  expect(seen?.span.traceId).toBe(SPAN.traceId);
  expect(seen?.metadata.get("x-uait-service")).toBe("echo-go");
  expect(Math.abs((seen?.deadlineMs ?? 0) - deadlineMs)).toBeLessThan(500);
});

test("unary_call_without_a_deadline_gets_the_default_and_a_stream_none", async () => {
  const deadlines: (number | undefined)[] = [];
  const { echo } = await open(
    {
      echo: async ({ message }, { deadlineMs }) => {
        deadlines.push(deadlineMs);
        return { message };
      },
      expand: async function* ({ message }, { deadlineMs }) {
        deadlines.push(deadlineMs);
        yield { message };
      },
    },
    { UAIT_DEADLINE_MS: "7000" },
  );
  const startMs = Date.now();
  await echo.echo({ message: "x" }, { identity: IDENTITY });
  await drainStream(echo.expand({ message: "x", count: 1 }, { identity: IDENTITY }));
  expect(Math.abs((deadlines[0] ?? 0) - startMs - 7000)).toBeLessThan(500);
  expect(deadlines[1]).toBeUndefined();
});

test("deadline_of_the_caller_ends_the_call_and_the_handler", async () => {
  const ends: Status[] = [];
  const { echo } = await open({
    echo: (_, context) => {
      context.onEnd((code) => ends.push(code));
      return new Promise((_resolve, reject) => context.signal.addEventListener("abort", reject));
    },
  });
  const call = echo.echo({ message: "x" }, { from: from({ deadlineMs: Date.now() + 200 }) });
  await expect(call).rejects.toMatchObject({ code: Status.DEADLINE_EXCEEDED, reason: "DEADLINE_EXCEEDED" });
  await waitUntil("the handler ends", () => ends.length === 1);
  expect(ends).toEqual([Status.DEADLINE_EXCEEDED]);
});

test("stream_that_the_server_resets_as_the_deadline_passes_ends_with_the_deadline", async () => {
  vi.useFakeTimers({ toFake: ["Date"] });
  closers.push(() => void vi.useRealTimers());
  const deadlineMs = Date.now() + 60_000;
  const server = createServer().on("stream", (stream) => {
    // The deadline has passed by the clock, and the caller's timer has yet to fire.
    vi.setSystemTime(deadlineMs);
    stream.close(constants.NGHTTP2_CANCEL);
  });
  const port = await freePort();
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  closers.push(() => void server.close());
  const { echo } = await openMesh(`127.0.0.1:${port}`);
  const call = echo.echo({ message: "x" }, { from: from({ deadlineMs }) });
  await expect(call).rejects.toMatchObject({ code: Status.DEADLINE_EXCEEDED, reason: "DEADLINE_EXCEEDED" });
});

test("cancellation_of_the_caller_ends_the_call_and_the_handler", async () => {
  const ends: Status[] = [];
  let running = false;
  const { echo } = await open({
    echo: (_, context) => {
      running = true;
      context.onEnd((code) => ends.push(code));
      return new Promise((_resolve, reject) => context.signal.addEventListener("abort", reject));
    },
  });
  const cancel = new AbortController();
  const call = echo.echo({ message: "x" }, { from: from({ signal: cancel.signal }) });
  const failed = expect(call).rejects.toMatchObject({ code: Status.CANCELLED, reason: "CANCELLED" });
  await waitUntil("the handler runs", () => running);
  cancel.abort();
  await failed;
  await waitUntil("the handler ends", () => ends.length === 1);
  expect(ends).toEqual([Status.CANCELLED]);
});

test("error_of_the_other_service_comes_with_its_details", async () => {
  const { echo } = await open({
    echo: () => {
      throw StatusError.of({
        code: Status.NOT_FOUND,
        reason: "RESOURCE_NOT_FOUND",
        message: "no such thing",
        metadata: { resource: "thing" },
      });
    },
  });
  await expect(echo.echo({ message: "x" }, { identity: IDENTITY })).rejects.toMatchObject({
    code: Status.NOT_FOUND,
    reason: "RESOURCE_NOT_FOUND",
    message: "no such thing",
    metadata: { resource: "thing" },
    remote: true,
  });
});

test("mesh_that_is_away_is_unavailable_by_the_name_of_the_service", async () => {
  const { echo } = await openMesh(`127.0.0.1:${await freePort()}`);
  await expect(echo.echo({ message: "x" }, { identity: IDENTITY, service: "echo-go" })).rejects.toMatchObject({
    code: Status.UNAVAILABLE,
    reason: "DEPENDENCY_UNAVAILABLE",
    metadata: { dependency: "echo-go" },
  });
});
