import { readFileSync } from "node:fs";
import { ChannelCredentials } from "@grpc/grpc-js";
import { type Channel, createChannel, createClient } from "nice-grpc";
import { HealthDefinition } from "nice-grpc-server-health";
import type { Catalogue } from "../catalogue/schema.js";
import { built, type Layout } from "../layout.js";

/** One process's health: how to ask for it. */
export interface HealthCheck {
  /** Process that it is about. */
  readonly process: string;
  /** Seconds from start until it must serve. */
  readonly startSeconds: number;
  /** "SERVING", or what is wrong, in a few words. */
  ask(signal: AbortSignal): Promise<string>;
}

/** What a check answers when all is well. */
export const SERVING = "SERVING";

/** Names of grpc.health.v1's ServingStatus by number. */
const STATUS_NAMES: Readonly<Record<number, string>> = {
  0: "UNKNOWN",
  1: SERVING,
  2: "NOT_SERVING",
  3: "SERVICE_UNKNOWN",
};

/** ms after which an unanswered question counts as no. */
const ASK_TIMEOUT_MS = 2000;

/** The health check of every process of the mesh: HTTP for infrastructure, grpc.health.v1 for services. */
export function healthChecks(catalogue: Catalogue, mesh: Layout): HealthCheck[] {
  const credentials = credentialsOf(mesh);
  return [
    ...catalogue.infrastructure.map((part) => ({
      process: part.name,
      startSeconds: part.health.start_seconds,
      ask: (signal: AbortSignal) =>
        askHttp(`http://${mesh.host(part.name)}:${mesh.port(part.name, part.health.port)}${part.health.path}`, signal),
    })),
    ...built(mesh).map((replica) => ({
      process: replica.process,
      startSeconds: replica.service.health.start_seconds,
      ask: (signal: AbortSignal) =>
        askGrpc(
          // The certificate is for names, and an address is no name (RFC 6066, section 3).
          createChannel(`${replica.host}:${replica.port}`, credentials, {
            "grpc.ssl_target_name_override": replica.service.name,
          }),
          replica.service.health.service,
          signal,
        ),
    })),
  ];
}

async function askHttp(url: string, signal: AbortSignal): Promise<string> {
  try {
    const response = await fetch(url, { signal: AbortSignal.any([signal, AbortSignal.timeout(ASK_TIMEOUT_MS)]) });
    await response.arrayBuffer();
    return response.ok ? SERVING : `answers ${response.status}`;
  } catch (cause) {
    signal.throwIfAborted();
    return reasonOf(cause);
  }
}

function credentialsOf({ tls, paths }: Layout): ChannelCredentials {
  if (!tls) return ChannelCredentials.createInsecure();
  const [ca, key, certificate] = [paths.tls.ca, paths.tls.serviceKey, paths.tls.service].map((file) =>
    readFileSync(file),
  );
  return ChannelCredentials.createSsl(ca, key, certificate);
}

async function askGrpc(channel: Channel, service: string, signal: AbortSignal): Promise<string> {
  try {
    const client = createClient(HealthDefinition, channel);
    const { status } = await client.check(
      { service },
      { signal: AbortSignal.any([signal, AbortSignal.timeout(ASK_TIMEOUT_MS)]) },
    );
    return STATUS_NAMES[status] ?? `status ${status}`;
  } catch (cause) {
    signal.throwIfAborted();
    return reasonOf(cause);
  } finally {
    channel.close();
  }
}

function reasonOf(cause: unknown): string {
  const text = cause instanceof Error ? `${cause.message} ${String(cause.cause ?? "")}` : String(cause);
  if (/ECONNREFUSED/.test(text)) return "does not listen yet";
  if (/abort|timeout/i.test(text)) return `no answer within ${ASK_TIMEOUT_MS / 1000} s`;
  return text.split("\n")[0] ?? "unknown";
}
