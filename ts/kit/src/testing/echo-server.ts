import { EchoService } from "@uait/gen/es/uait/echo/v1/echo_pb.js";
import { EchoServiceDefinition, type EchoServiceImplementation } from "@uait/gen/uait/echo/v1/echo.js";
import { type Environment, type KitConfig, loadConfig } from "../config.js";
import { dial, type Mesh } from "../dial.js";
import { type Events, openEvents } from "../events.js";
import type { HttpHandler } from "../http.js";
import { type RunningServer, serve } from "../serve.js";
import { type ServerCallContext, service } from "../service.js";
import type { ErrorMap } from "../status.js";
import { startTelemetry, type Telemetry } from "../telemetry.js";

/** A server under test, with what it was built of. */
export interface TestServer extends RunningServer {
  readonly config: KitConfig;
  readonly telemetry: Telemetry;
  readonly mesh: Mesh;
  readonly events: Events;
  /** Its log, a line each. */
  readonly logLines: readonly string[];
}

/** The kit's configuration for a test: free ports, nothing outside this process, no waiting at the end. */
export function testConfig(env: Environment = {}): KitConfig {
  return loadConfig(
    {
      UAIT_PORT: "0",
      UAIT_HTTP_PORT: "0",
      UAIT_NATS_URL: "off",
      UAIT_LEASE: "off",
      UAIT_DRAIN_DELAY_MS: "0",
      OTEL_SDK_DISABLED: "true",
      ...env,
    },
    { service: "echo-test", port: 0 },
  );
}

/** Serves EchoService with some of its handlers; a call of another fails. */
export async function startTestServer(
  handlers: Partial<EchoServiceImplementation<ServerCallContext>>,
  options: {
    readonly env?: Environment;
    readonly errors?: ErrorMap;
    readonly tenantless?: boolean;
    readonly httpHandler?: HttpHandler;
    readonly background?: () => Promise<void>;
  } = {},
): Promise<TestServer> {
  const config = testConfig(options.env);
  const logLines: string[] = [];
  const telemetry = await startTelemetry(config, (line) => logLines.push(line));
  const mesh = dial({ config, telemetry });
  const events = openEvents({ config, telemetry });
  const implementation = { ...MISSING, ...handlers };
  const bound = service({
    definition: EchoServiceDefinition,
    descriptor: EchoService,
    implementation,
    tenantless: options.tenantless ?? false,
    ...(options.errors === undefined ? {} : { errors: options.errors }),
  });
  const { httpHandler, background } = options;
  const server = await serve({
    config,
    telemetry,
    mesh,
    events,
    services: [bound],
    ...(httpHandler === undefined ? {} : { httpHandler }),
    ...(background === undefined ? {} : { background }),
  });
  return { ...server, config, telemetry, mesh, events, logLines };
}

function missing(): never {
  throw new Error("the test has no such handler");
}

const MISSING: EchoServiceImplementation<ServerCallContext> = {
  echo: missing,
  collect: missing,
  expand: missing,
  converse: missing,
  relay: missing,
  publish: missing,
  awaitEvent: missing,
  awaitOutcome: missing,
};
