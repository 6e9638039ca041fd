import { LlmRouterService } from "@uait/gen/es/uait/llm_router/v1/llm_router_pb.js";
import { LlmRouterServiceDefinition } from "@uait/gen/uait/llm_router/v1/llm_router.js";
import { dial, openEvents, type RunningServer, serve, service, startTelemetry } from "@uait/kit";
import { Budgets } from "./budgets.js";
import { CallLog } from "./call-log.js";
import { ModelCatalogue } from "./catalogue.js";
import type { RouterConfig } from "./config.js";
import { toStatus } from "./error.js";
import { createHandler } from "./handler.js";
import { MeshUpstream } from "./mesh-upstream.js";
import { OpenAiUpstream } from "./openai-upstream.js";
import { Quality } from "./quality.js";
import { Router } from "./router.js";
import { createRunHandler, RUN_AREA } from "./run-scores.js";
import { Statistics } from "./statistics.js";
import { openStores } from "./store.js";

export { loadConfig as loadRouterConfig, type RouterConfig } from "./config.js";

/** Starts the service; it takes calls when this returns. */
export async function startRouter(config: RouterConfig): Promise<RunningServer> {
  const telemetry = await startTelemetry(config);
  const mesh = dial({ config, telemetry });
  const events = openEvents({ config, telemetry });
  const { log } = telemetry;
  const now = Date.now;
  const statistics = new Statistics();
  const quality = new Quality();
  events.consume(RUN_AREA, createRunHandler(quality));
  const budgets = new Budgets({ stores: openStores(events), now, log, durable: events.state !== "off" });
  const calls = new CallLog({ events, log, now });
  const upstreams = [
    new MeshUpstream({ mesh, patience: config.patience, now }),
    ...config.upstreams.map((upstream) => new OpenAiUpstream({ config: upstream, now })),
  ];
  const catalogue = new ModelCatalogue({ upstreams, statistics, quality, now });
  const router = new Router({
    catalogue,
    statistics,
    budgets,
    now,
    elapsed: () => performance.now(),
    onFinished: (call, from) => calls.publish(call, from),
  });
  return await serve({
    config,
    telemetry,
    mesh,
    events,
    background: async () => {
      await Promise.all([budgets.settle(), calls.settle()]);
    },
    services: [
      service({
        definition: LlmRouterServiceDefinition,
        descriptor: LlmRouterService,
        implementation: createHandler({ router, catalogue, budgets, events, now }),
        errors: toStatus,
      }),
    ],
  });
}
