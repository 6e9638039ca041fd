import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { Status } from "@uait/kit";
import { afterAll, beforeAll, expect, test } from "vitest";
import { edgesOf } from "./topology.js";
import { callsOf, Traces } from "./traces.js";

const service = (name: string, ...calls: string[]) => ({ name, language: "go", grpc: [], calls, replicas: 1 });
const span = (spanID: string, processID: string, parent: string, tags: Record<string, unknown> = {}) => ({
  spanID,
  processID,
  duration: 2000,
  references: parent === "" ? [] : [{ refType: "CHILD_OF", spanID: parent }],
  tags: Object.entries(tags).map(([key, value]) => ({ key, value })),
});
const server = (code = 0) => ({ "span.kind": "server", "rpc.grpc.status_code": code });
const processes = {
  e: { serviceName: "envoy-edge" },
  m: { serviceName: "envoy-mesh" },
  o: { serviceName: "orchestrator" },
  l: { serviceName: "llm-router" },
};
/** edge -> orchestrator -> llm-router, each by way of Envoy. */
const TRACE = {
  processes,
  spans: [
    span("1", "e", "", { "span.kind": "server" }),
    span("2", "e", "1", { "span.kind": "client" }),
    span("3", "o", "2", server()),
    span("4", "o", "3", { "span.kind": "client" }),
    span("5", "m", "4", { "span.kind": "server" }),
    span("6", "m", "5", { "span.kind": "client" }),
    span("7", "l", "6", server(Status.UNAVAILABLE)),
    span("8", "l", "6", server(Status.NOT_FOUND)),
  ],
};

test("call_is_of_the_nearest_span_above_that_is_no_proxys", () => {
  expect(callsOf(TRACE)).toEqual([
    { caller: "orchestrator", callee: "llm-router", durationMs: 2, failed: true },
    { caller: "orchestrator", callee: "llm-router", durationMs: 2, failed: false },
  ]);
});

test("edges_are_those_declared_between_running_services_and_those_seen", () => {
  const services = [
    service("orchestrator", "llm-router", "context", "not-running"),
    service("context"),
    service("llm-router"),
  ];
  const stray = { caller: "context", callee: "llm-router", durationMs: 8, failed: false };
  expect(edgesOf(services, [...callsOf(TRACE), stray])).toEqual([
    { caller: "context", callee: "llm-router", declared: false, calls: 1, errorRate: 0, p50Ms: 8 },
    { caller: "orchestrator", callee: "context", declared: true, calls: 0, errorRate: 0, p50Ms: undefined },
    { caller: "orchestrator", callee: "llm-router", declared: true, calls: 2, errorRate: 0.5, p50Ms: 2 },
  ]);
});

let jaeger: Server;
const asked: string[] = [];
let body = JSON.stringify({ data: [TRACE] });
beforeAll(async () => {
  jaeger = createServer((request, response) => {
    asked.push(request.url ?? "");
    response.end(body);
  });
  await new Promise<void>((resolve) => jaeger.listen(0, "127.0.0.1", resolve));
});
afterAll(() => new Promise((resolve) => jaeger.close(resolve)));

test("traces_of_a_window_are_asked_of_jaeger_in_its_units", async () => {
  const traces = new Traces(`http://127.0.0.1:${(jaeger.address() as AddressInfo).port}/`);
  expect((await traces.calls({ startMs: 1, endMs: 2 })).length).toBe(2);
  expect(asked).toEqual(["/api/traces?service=envoy-mesh&start=1000&end=2000&limit=200"]);
  body = "<html>";
  await expect(traces.calls({ startMs: 1, endMs: 2 })).rejects.toMatchObject({ metadata: { dependency: "jaeger" } });
});
