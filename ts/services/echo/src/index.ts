import { EchoService } from "@uait/gen/es/uait/echo/v1/echo_pb.js";
import { EchoServiceDefinition } from "@uait/gen/uait/echo/v1/echo.js";
import { dial, openEvents, type RunningServer, serve, service, startTelemetry } from "@uait/kit";
import type { EchoConfig } from "./config.js";
import { toStatus } from "./error.js";
import { createEventHandler, createHandler, EVENT_AREA } from "./handler.js";
import { Outcomes } from "./outcomes.js";
import { ReceivedEvents } from "./received-events.js";

export { type EchoConfig, loadConfig as loadEchoConfig } from "./config.js";

/** Starts the service; it takes calls when this returns. */
export async function startEcho(config: EchoConfig): Promise<RunningServer> {
  const telemetry = await startTelemetry(config);
  const mesh = dial({ config, telemetry });
  const events = openEvents({ config, telemetry });
  const outcomes = new Outcomes();
  const received = new ReceivedEvents();
  events.consume(EVENT_AREA, createEventHandler(received));
  const { service: name, instance } = config;
  const implementation = createHandler({ service: name, instance, mesh, events, outcomes, received, now: Date.now });
  return await serve({
    config,
    telemetry,
    mesh,
    events,
    services: [
      service({ definition: EchoServiceDefinition, descriptor: EchoService, implementation, errors: toStatus }),
    ],
  });
}
