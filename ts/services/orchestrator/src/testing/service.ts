import { AbMctsBridgeServiceDefinition } from "@uait/gen/uait/orchestrator/v1/ab_mcts_bridge.js";
import { DspyOrchestratorServiceDefinition } from "@uait/gen/uait/orchestrator/v1/dspy_orchestrator.js";
import {
  type DeepPartial,
  Detail,
  OrchestratorServiceDefinition,
  type RunRequest,
  type RunResponse,
} from "@uait/gen/uait/orchestrator/v1/orchestrator.js";
import type { Answer } from "@uait/gen/uait/orchestrator/v1/run.js";
import type { Verifier } from "@uait/gen/uait/orchestrator/v1/verifier.js";
import type { RunningServer } from "@uait/kit";
import { failureOf } from "@uait/kit/testing";
import { type Channel, type Client, createChannel, createClient, Metadata } from "nice-grpc";
import { loadConfig } from "../config.js";
import { startOrchestrator } from "../index.js";
import type { MeshStub } from "./mesh.js";

/** The service under test, with a plain client of each of its gRPC services. */
export interface ServiceUnderTest {
  readonly server: RunningServer;
  readonly client: Client<typeof OrchestratorServiceDefinition>;
  readonly bridge: Client<typeof AbMctsBridgeServiceDefinition>;
  readonly dspy: Client<typeof DspyOrchestratorServiceDefinition>;
  stop(): Promise<void>;
}

export async function startService(
  mesh: MeshStub,
  env: Readonly<Record<string, string>> = {},
): Promise<ServiceUnderTest> {
  const config = loadConfig({
    UAIT_PORT: "0",
    UAIT_HTTP_PORT: "0",
    UAIT_NATS_URL: "off",
    UAIT_LEASE: "off",
    UAIT_DRAIN_DELAY_MS: "0",
    UAIT_LOG_LEVEL: "error",
    OTEL_SDK_DISABLED: "true",
    UAIT_MESH: mesh.address,
    // None hangs here: those that are away say so.
    UAIT_NEIGHBOUR_TIMEOUT_MS: "10000",
    ...env,
  });
  const server = await startOrchestrator(config);
  const channel: Channel = createChannel(server.address, undefined, { "grpc.use_local_subchannel_pool": 1 });
  return {
    server,
    client: createClient(OrchestratorServiceDefinition, channel),
    bridge: createClient(AbMctsBridgeServiceDefinition, channel),
    dspy: createClient(DspyOrchestratorServiceDefinition, channel),
    async stop() {
      await server.drain();
      channel.close();
    },
  };
}

export const as = (tenant: string) => ({ metadata: Metadata({ "x-uait-tenant": tenant, "x-uait-subject": "anna" }) });

let requests = 0;

export const newRequestId = () => `request-${process.pid}-${++requests}`;

/** A run of `6 * 7`, checked by number, without context. */
export function task(more: DeepPartial<RunRequest> = {}): DeepPartial<RunRequest> {
  return {
    requestId: newRequestId(),
    task: "What is 6 * 7?",
    verifiers: [numeric(42)],
    context: { off: true },
    detail: Detail.DETAIL_TOKENS,
    ...more,
  };
}

export const numeric = (expected: number): DeepPartial<Verifier> => ({
  kind: { $case: "numeric", value: { expected } },
});

/** All events of a run. */
export async function collect(stream: AsyncIterable<RunResponse>): Promise<RunResponse[]> {
  const events: RunResponse[] = [];
  for await (const event of stream) events.push(event);
  return events;
}

export const casesOf = (events: readonly RunResponse[]) => events.map(({ event }) => event?.$case);

/** The values of one kind of event. */
export function valuesOf<Case extends NonNullable<RunResponse["event"]>["$case"]>(
  events: readonly RunResponse[],
  $case: Case,
): Extract<NonNullable<RunResponse["event"]>, { $case: Case }>["value"][] {
  return events.flatMap(({ event }) => (event?.$case === $case ? [event.value as never] : []));
}

export function answerOf(events: readonly RunResponse[]): Answer {
  const [answer] = valuesOf(events, "answer");
  if (answer === undefined) throw new Error(`no answer in ${casesOf(events).join(", ")}`);
  return answer;
}

/** The status with which a run fails. */
export async function refusal(service: ServiceUnderTest, request: DeepPartial<RunRequest>, tenant = "acme") {
  return await failureOf((options) => collect(service.client.run(request, { ...as(tenant), ...options })));
}
