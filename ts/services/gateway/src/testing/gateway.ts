import type { RunningServer } from "@uait/kit";
import { loadGatewayConfig, startGateway } from "../index.js";

/** A gateway on free ports that nobody else knows. */
export async function testGateway(env: Readonly<Record<string, string>>): Promise<RunningServer> {
  return await startGateway(
    loadGatewayConfig({
      UAIT_PORT: "0",
      UAIT_HTTP_PORT: "0",
      UAIT_NATS_URL: "off",
      UAIT_LEASE: "off",
      UAIT_DRAIN_DELAY_MS: "0",
      UAIT_DRAIN_TIMEOUT_MS: "2000",
      UAIT_LOG_LEVEL: "error",
      UAIT_KEY_SPREAD_MS: "0",
      OTEL_SDK_DISABLED: "true",
      ...env,
    }),
  );
}
