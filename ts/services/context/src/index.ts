import { ContextInjectionService } from "@uait/gen/es/uait/context/v1/context_injection_pb.js";
import { ContextStorageService } from "@uait/gen/es/uait/context/v1/context_storage_pb.js";
import { ContextInjectionServiceDefinition } from "@uait/gen/uait/context/v1/context_injection.js";
import { ContextStorageServiceDefinition } from "@uait/gen/uait/context/v1/context_storage.js";
import { dial, openEvents, type RunningServer, serve, service, startTelemetry } from "@uait/kit";
import type { ContextConfig } from "./config.js";
import { toStatus } from "./error.js";
import { createInjectionHandler } from "./injection-handler.js";
import { createStorageHandler } from "./storage-handler.js";

export { type ContextConfig, loadConfig as loadContextConfig } from "./config.js";

/** Starts the service; it takes calls when this returns. */
export async function startContext(config: ContextConfig): Promise<RunningServer> {
  const telemetry = await startTelemetry(config);
  const mesh = dial({ config, telemetry });
  const events = openEvents({ config, telemetry });
  const { sourceTimeoutMs } = config;
  return await serve({
    config,
    telemetry,
    mesh,
    events,
    services: [
      service({
        definition: ContextStorageServiceDefinition,
        descriptor: ContextStorageService,
        implementation: createStorageHandler({ mesh }),
        errors: toStatus,
      }),
      service({
        definition: ContextInjectionServiceDefinition,
        descriptor: ContextInjectionService,
        implementation: createInjectionHandler({ mesh, sourceTimeoutMs, now: Date.now }),
        errors: toStatus,
      }),
    ],
  });
}
