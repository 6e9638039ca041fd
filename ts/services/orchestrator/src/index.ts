import { AbMctsBridgeService } from "@uait/gen/es/uait/orchestrator/v1/ab_mcts_bridge_pb.js";
import { DspyOrchestratorService } from "@uait/gen/es/uait/orchestrator/v1/dspy_orchestrator_pb.js";
import { OrchestratorService } from "@uait/gen/es/uait/orchestrator/v1/orchestrator_pb.js";
import { AbMctsBridgeServiceDefinition } from "@uait/gen/uait/orchestrator/v1/ab_mcts_bridge.js";
import { DspyOrchestratorServiceDefinition } from "@uait/gen/uait/orchestrator/v1/dspy_orchestrator.js";
import { OrchestratorServiceDefinition } from "@uait/gen/uait/orchestrator/v1/orchestrator.js";
import {
  dial,
  Idempotency,
  openEvents,
  type RunningServer,
  type Surroundings,
  serve,
  service,
  startTelemetry,
} from "@uait/kit";
import type { BridgeEvent } from "./bridge.js";
import { createBridgeHandler } from "./bridge-handler.js";
import type { OrchestratorConfig } from "./config.js";
import { createDspyHandler } from "./dspy-handler.js";
import { toStatus } from "./error.js";
import { createHandler } from "./handler.js";
import { MemoryJournal } from "./journal.js";
import { LiveWorks } from "./live.js";
import { EventJournal } from "./nats-journal.js";
import { meshNeighbours } from "./neighbours/mesh.js";
import { MeshSearches } from "./neighbours/mesh-searches.js";
import { RunStore } from "./run-store.js";
import { Runner } from "./runner.js";
import { draining, Runs } from "./runs.js";
import { Confinement } from "./sandbox/confinement.js";

export { loadConfig as loadOrchestratorConfig, type OrchestratorConfig } from "./config.js";

/** Starts the service; it takes calls when this returns. */
export async function startOrchestrator(config: OrchestratorConfig): Promise<RunningServer> {
  const { neighbourTimeoutMs, host, port } = config;
  const telemetry = await startTelemetry(config);
  const mesh = dial({ config, telemetry });
  const events = openEvents({ config, telemetry });
  const { log } = telemetry;
  const now = Date.now;
  const elapsed = () => performance.now();
  const journal = events.state === "off" ? new MemoryJournal(now) : new EventJournal(events);
  const store = new RunStore({ capacity: config.runsKept });
  const confinement = new Confinement({ workers: config.sandboxWorkers });
  const neighbours = meshNeighbours(mesh);
  const shared = { neighbours, journal, store, neighbourTimeoutMs, owner: `${host}:${port}`, now, log };
  let server: RunningServer | undefined;
  const surroundings = (): Surroundings => server?.surroundings ?? { traces: telemetry.traces, lease: "unknown" };
  const runs = new Runs({ ...shared, runner: new Runner({ ...shared, confinement, elapsed, surroundings }) });
  const bridged = new LiveWorks<BridgeEvent>();
  const idempotency = new Idempotency({ now, errors: toStatus });
  runs.open();
  server = await serve({
    config,
    telemetry,
    mesh,
    events,
    background: async () => {
      await Promise.all([runs.close(), bridged.end(draining())]);
      await confinement.close();
    },
    services: [
      service({
        definition: OrchestratorServiceDefinition,
        descriptor: OrchestratorService,
        implementation: createHandler({ runs, confinement, idempotency, now }),
        errors: toStatus,
      }),
      service({
        definition: AbMctsBridgeServiceDefinition,
        descriptor: AbMctsBridgeService,
        implementation: createBridgeHandler({
          ...neighbours,
          searches: new MeshSearches(mesh),
          works: bridged,
          confinement,
          now,
          elapsed,
        }),
        errors: toStatus,
      }),
      service({
        definition: DspyOrchestratorServiceDefinition,
        descriptor: DspyOrchestratorService,
        implementation: createDspyHandler(),
        errors: toStatus,
      }),
    ],
  });
  return server;
}
