/** One call through all four languages, as Jaeger tells it. */
import { EchoServiceDefinition } from "@uait/gen/uait/echo/v1/echo.js";
import { createChannel, createClient, Metadata } from "nice-grpc";
import { beforeAll, expect, test } from "vitest";
import { until } from "../harness/network.js";
import { Mesh } from "./mesh.js";
import { edges, orphans, readTrace, type Span } from "./trace.js";

const CHAIN = ["echo-ts", "echo-go", "echo-rust", "echo-python"];
/** Exporters send what they have at least every 5 s. */
const FLUSH_MS = 30_000;

let mesh: Mesh;
let spans: readonly Span[];

beforeAll(async () => {
  mesh = await Mesh.open();
  const [first = "", ...route] = CHAIN;
  const channel = createChannel(mesh.edge);
  try {
    const client = createClient(EchoServiceDefinition, channel);
    const metadata = Metadata({ ...mesh.authorization, "x-uait-service": first });
    const { hops } = await client.relay({ message: "trace me", route }, { metadata });
    expect(hops.map(({ service }) => service)).toEqual(CHAIN);
    const traceId = hops[0]?.traceId ?? "";
    expect(new Set(hops.map((hop) => hop.traceId))).toEqual(new Set([traceId]));
    spans = await until(
      async () => {
        const found = await readTrace(mesh.address("jaeger", "query"), traceId);
        return (
          orphans(found).length === 0 && CHAIN.every((name) => found.some(({ service }) => service === name)) && found
        );
      },
      { what: `the whole trace ${traceId}`, timeoutMs: FLUSH_MS, everyMs: 250 },
    );
  } finally {
    channel.close();
  }
});

test("trace_of_the_chain_has_exactly_these_edges", () => {
  expect(edges(spans)).toEqual(
    [
      "envoy-edge -> echo-ts",
      "echo-ts -> envoy-mesh",
      "envoy-mesh -> echo-go",
      "echo-go -> envoy-mesh",
      "envoy-mesh -> echo-rust",
      "echo-rust -> envoy-mesh",
      "envoy-mesh -> echo-python",
    ].sort(),
  );
});

test("trace_has_one_root_and_it_is_the_edge", () => {
  const roots = spans.filter(({ parent }) => parent === undefined);
  expect(roots.map(({ service, kind }) => `${service} ${kind}`)).toEqual(["envoy-edge server"]);
});

test("trace_parents_follow_the_call", () => {
  const byId = new Map(spans.map((span) => [span.id, span]));
  const serverSpans = CHAIN.map((name) => spans.filter(({ service, kind }) => service === name && kind === "server"));
  expect(serverSpans.map((found) => found.length)).toEqual([1, 1, 1, 1]);
  // From the last hop up to the root: server, then Envoy's two spans, then the caller's client span, and so on.
  const path: string[] = [];
  for (let span = serverSpans.at(-1)?.[0]; span !== undefined; span = byId.get(span.parent ?? "")) {
    path.push(`${span.service} ${span.kind}`);
  }
  expect(path.reverse()).toEqual([
    ...["envoy-edge server", "envoy-edge client", "echo-ts server", "echo-ts client"],
    ...["envoy-mesh server", "envoy-mesh client", "echo-go server", "echo-go client"],
    ...["envoy-mesh server", "envoy-mesh client", "echo-rust server", "echo-rust client"],
    ...["envoy-mesh server", "envoy-mesh client", "echo-python server"],
  ]);
});

test("edges_between_services_are_those_that_the_catalogue_declares", () => {
  const called = edges(spans.filter(({ service }) => !service.startsWith("envoy-")));
  expect(called).toEqual([]);
  const through = edges(spans)
    .filter((edge) => edge.endsWith(" -> envoy-mesh"))
    .map((edge) => edge.replace(" -> envoy-mesh", ""));
  const declared = mesh.catalogue.services.filter(({ name, calls }) => through.includes(name) && calls.length > 0);
  expect(declared.map(({ name }) => name).sort()).toEqual(through.sort());
});
