import { AgentSelectorServiceDefinition } from "@uait/gen/uait/agent_selector/v1/agent_selector.js";
import type { Environment, RunningServer } from "@uait/kit";
import { createChannel, createClient, Metadata } from "nice-grpc";
import { loadConfig } from "../config.js";
import { startAgentSelector } from "../index.js";

/** The service under test, whose mesh is one address. */
export async function startService(mesh: string, env: Environment = {}): Promise<RunningServer> {
  return await startAgentSelector(
    loadConfig({
      UAIT_PORT: "0",
      UAIT_HTTP_PORT: "0",
      UAIT_MESH: mesh,
      UAIT_NATS_URL: "off",
      UAIT_LEASE: "off",
      UAIT_DRAIN_DELAY_MS: "0",
      UAIT_LOG_LEVEL: "error",
      OTEL_SDK_DISABLED: "true",
      ...env,
    }),
  );
}

/** A client of the service under test. */
export function openClient(address: string) {
  const channel = createChannel(address, undefined, { "grpc.use_local_subchannel_pool": 1 });
  return { selector: createClient(AgentSelectorServiceDefinition, channel), close: () => channel.close() };
}

/** Metadata of a call of a tenant. */
export function as(tenant: string): Metadata {
  return Metadata({ "x-uait-tenant": tenant });
}
