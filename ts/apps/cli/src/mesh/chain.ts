import { readFile } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { ChannelCredentials } from "@grpc/grpc-js";
import { EchoServiceDefinition, type RelayResponse } from "@uait/gen/uait/echo/v1/echo.js";
import { ClientError, createChannel, createClient, Metadata, Status } from "nice-grpc";
import { z } from "zod";
import type { Context } from "../context.js";
import { Failure } from "../failure.js";

/** The services of the chain, in order: one of each language. */
const CHAIN = ["echo-ts", "echo-go", "echo-rust", "echo-python"] as const;
/** ms in which the chain must have been answered once: Envoy may still be learning who is healthy. */
const CHAIN_DEADLINE_MS = 30_000;
/** ms in which the trace must be in Jaeger: exporters flush at most every 5 s. */
const TRACE_DEADLINE_MS = 20_000;

/** What a call through all four languages showed. */
export interface ChainResult {
  readonly hops: readonly string[];
  readonly milliseconds: number;
  readonly traceId: string;
}

/** Calls echo-ts -> echo-go -> echo-rust -> echo-python through Envoy's edge with the development key. */
export async function callChain(context: Context, note: (text: string) => void): Promise<ChainResult> {
  const { mesh, signal } = context;
  const channel = createChannel(
    `${mesh.host("envoy")}:${mesh.port("envoy", "edge")}`,
    ChannelCredentials.createInsecure(),
  );
  const client = createClient(EchoServiceDefinition, channel);
  const key = (await readFile(mesh.paths.devKey, "utf8")).trim();
  const [first, ...route] = CHAIN;
  const deadline = performance.now() + CHAIN_DEADLINE_MS;
  try {
    for (;;) {
      const began = performance.now();
      try {
        const response = await client.relay(
          { message: "make up", route },
          { metadata: Metadata({ authorization: `Bearer ${key}`, "x-uait-service": first }), signal },
        );
        return resultOf(response, performance.now() - began);
      } catch (cause) {
        if (!(cause instanceof ClientError)) throw cause;
        if (cause.code !== Status.UNAVAILABLE || performance.now() > deadline) throw broken(cause);
        note(cause.message);
        await delay(250, undefined, { signal });
      }
    }
  } finally {
    channel.close();
  }
}

/** Waits until Jaeger has spans of each service of the chain. Returns how many spans it has. */
export async function awaitTrace(context: Context, traceId: string, note: (text: string) => void): Promise<number> {
  const { mesh, signal } = context;
  const url = `http://${mesh.host("jaeger")}:${mesh.port("jaeger", "query")}/api/traces/${traceId}`;
  const deadline = performance.now() + TRACE_DEADLINE_MS;
  for (;;) {
    const response = await fetch(url, { signal });
    const trace = response.ok ? traceSchema.parse(await response.json()).data[0] : undefined;
    const services = new Set(Object.values(trace?.processes ?? {}).map(({ serviceName }) => serviceName));
    const missing = CHAIN.filter((name) => !services.has(name));
    if (trace !== undefined && missing.length === 0) return trace.spans.length;
    if (performance.now() > deadline)
      throw new Failure({
        reason: "UNHEALTHY",
        message: `Jaeger has no span of ${missing.join(", ")} for the trace ${traceId} after ${TRACE_DEADLINE_MS / 1000} s`,
        remedy: "make logs S=jaeger",
      });
    note(`no span yet of ${missing.join(", ")}`);
    await delay(250, undefined, { signal });
  }
}

const traceSchema = z.object({
  data: z.array(
    z.object({ spans: z.array(z.unknown()), processes: z.record(z.string(), z.object({ serviceName: z.string() })) }),
  ),
});

function resultOf(response: RelayResponse, milliseconds: number): ChainResult {
  return { hops: response.hops.map(({ service }) => service), milliseconds, traceId: response.hops[0]?.traceId ?? "" };
}

function broken(cause: ClientError): Failure {
  return new Failure({
    reason: "UNHEALTHY",
    message: `the call ${CHAIN.join(" -> ")} through Envoy failed: ${cause.message}`,
    remedy: "make status, then make logs S=envoy",
    cause,
  });
}
