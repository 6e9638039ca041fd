import { ContextInjectionServiceDefinition } from "@uait/gen/uait/context/v1/context_injection.js";
import { ContextStorageServiceDefinition } from "@uait/gen/uait/context/v1/context_storage.js";
import type { Environment, RunningServer } from "@uait/kit";
import { createChannel, createClient, Metadata } from "nice-grpc";
import { loadConfig } from "../config.js";
import { startContext } from "../index.js";

/** The service under test, whose mesh is one address. */
export async function startService(mesh: string, env: Environment = {}): Promise<RunningServer> {
  return await startContext(
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

/** Clients of the service under test. */
export function openClients(address: string) {
  const channel = createChannel(address, undefined, { "grpc.use_local_subchannel_pool": 1 });
  return {
    storage: createClient(ContextStorageServiceDefinition, channel),
    injection: createClient(ContextInjectionServiceDefinition, channel),
    close: () => channel.close(),
  };
}

/** Metadata of a call of a tenant. */
export function as(tenant: string): Metadata {
  return Metadata({ "x-uait-tenant": tenant });
}
