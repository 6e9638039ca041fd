import { randomBytes, randomUUID } from "node:crypto";
import { AgentSelectorService } from "@uait/gen/es/uait/agent_selector/v1/agent_selector_pb.js";
import { AgentSelectorServiceDefinition } from "@uait/gen/uait/agent_selector/v1/agent_selector.js";
import { dial, Idempotency, openEvents, type RunningServer, serve, service, startTelemetry } from "@uait/kit";
import { AGENTS } from "./agent.js";
import type { AgentSelectorConfig } from "./config.js";
import { toStatus } from "./error.js";
import { Executor } from "./execution.js";
import { createHandler } from "./handler.js";
import { Learning } from "./learning.js";
import { MeshModels } from "./neighbours/mesh-models.js";
import { MeshParameters } from "./neighbours/mesh-parameters.js";
import { KEPT_MS, Selections, selectionRecord } from "./selections.js";
import { Selector } from "./selector.js";

export { type AgentSelectorConfig, loadConfig as loadAgentSelectorConfig } from "./config.js";

/** Starts the service; it takes calls when this returns. */
export async function startAgentSelector(config: AgentSelectorConfig): Promise<RunningServer> {
  const telemetry = await startTelemetry(config);
  const mesh = dial({ config, telemetry });
  const events = openEvents({ config, telemetry });
  const { neighbourTimeoutMs } = config;
  const bucket = events.bucket({ name: "uait_selections", schema: selectionRecord, ttlMs: KEPT_MS });
  const selections = new Selections(bucket);
  const parameters = new MeshParameters(mesh);
  const models = new MeshModels(mesh);
  const now = Date.now;
  const selector = new Selector({
    parameters,
    models,
    selections,
    neighbourTimeoutMs,
    now,
    newId: randomUUID,
    newSeed: () => randomBytes(8).readBigUInt64BE(),
  });
  const learning = new Learning({ parameters, selections, loadTimeoutMs: neighbourTimeoutMs });
  const executor = new Executor({ agents: AGENTS, selector, models, learning, neighbourTimeoutMs, now });
  const idempotency = new Idempotency({ now, errors: toStatus });
  return await serve({
    config,
    telemetry,
    mesh,
    events,
    services: [
      service({
        definition: AgentSelectorServiceDefinition,
        descriptor: AgentSelectorService,
        implementation: createHandler({ selector, executor, learning, idempotency }),
        errors: toStatus,
      }),
    ],
  });
}
