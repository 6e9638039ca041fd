import { randomUUID } from "node:crypto";
import { AuthService } from "@uait/gen/es/uait/gateway/v1/auth_pb.js";
import { MonitoringService } from "@uait/gen/es/uait/gateway/v1/monitoring_pb.js";
import { AuthServiceDefinition } from "@uait/gen/uait/gateway/v1/auth.js";
import { MonitoringServiceDefinition } from "@uait/gen/uait/gateway/v1/monitoring.js";
import { dial, openEvents, type RunningServer, serve, service, startTelemetry } from "@uait/kit";
import { createAuthHandler } from "./auth-handler.js";
import type { GatewayConfig } from "./config.js";
import { toStatus } from "./error.js";
import { JwksFeed } from "./jwks-feed.js";
import { Keys } from "./keys.js";
import { createMonitoringHandler } from "./monitoring/handler.js";
import { openMonitoring } from "./monitoring/open.js";
import { createHttp } from "./openai/http.js";
import { openKeyStore } from "./store.js";

export { type GatewayConfig, loadConfig as loadGatewayConfig } from "./config.js";

/** Starts the service; it takes calls when this returns. */
export async function startGateway(config: GatewayConfig): Promise<RunningServer> {
  const telemetry = await startTelemetry(config);
  const mesh = dial({ config, telemetry });
  const events = openEvents({ config, telemetry });
  const now = Date.now;
  const keys = new Keys({ store: openKeyStore(events), now });
  const feed = new JwksFeed({ read: () => keys.jwks(), spreadMs: config.keySpreadMs });
  const httpHandler = await createHttp({ mesh, telemetry, jwks: () => feed.fetch(), now, newId: randomUUID });
  const monitoring = openMonitoring({ config, mesh, log: telemetry.log, now });
  return await serve({
    config,
    telemetry,
    mesh,
    events,
    httpHandler,
    background: async () => monitoring.stop(),
    services: [
      service({
        definition: AuthServiceDefinition,
        descriptor: AuthService,
        implementation: createAuthHandler({ keys, feed, now }),
        errors: toStatus,
      }),
      service({
        definition: MonitoringServiceDefinition,
        descriptor: MonitoringService,
        implementation: createMonitoringHandler({ view: monitoring.view, traces: monitoring.traces, now }),
        errors: toStatus,
      }),
    ],
  });
}
