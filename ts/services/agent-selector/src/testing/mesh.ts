import { createHash } from "node:crypto";
import { ParameterService } from "@uait/gen/es/uait/intelligent_parameter/v1/parameter_pb.js";
import { LlmRouterService } from "@uait/gen/es/uait/llm_router/v1/llm_router_pb.js";
import {
  type GetParametersRequest,
  ParameterServiceDefinition,
  type ParameterServiceImplementation,
  Posterior,
  type RecordFeedbackRequest,
} from "@uait/gen/uait/intelligent_parameter/v1/parameter.js";
import {
  type GenerateRequest,
  LlmRouterServiceDefinition,
  type LlmRouterServiceImplementation,
  Model,
} from "@uait/gen/uait/llm_router/v1/llm_router.js";
import { FinishReason } from "@uait/gen/uait/types/v1/generation.js";
import {
  dial,
  openEvents,
  type RunningServer,
  type ServeOptions,
  type ServerCallContext,
  Status,
  StatusError,
  serve,
  service,
  startTelemetry,
} from "@uait/kit";
import { testConfig } from "@uait/kit/testing";
import { armIdOf } from "../candidate.js";
import { NO_USAGE } from "../usage.js";

/** What a model says; it may throw. */
export type Say = (request: GenerateRequest, signal: AbortSignal) => string | Promise<string>;

/** The neighbours of the service under test in one process, over their real contracts with their rules. */
export class MeshStub {
  readonly asked: GetParametersRequest[] = [];
  readonly fed: RecordFeedbackRequest[] = [];
  readonly generated: GenerateRequest[] = [];
  /** Names of services that are away. */
  readonly away = new Set<string>();
  /** Names of services that never answer. */
  readonly hung = new Set<string>();
  models: Model[] = [];
  say: Say = () => "42";
  /** What GetParameters fails with. */
  refusal: StatusError | undefined;
  #server: RunningServer | undefined = undefined;

  static async start(): Promise<MeshStub> {
    const stub = new MeshStub();
    stub.reset();
    const config = testConfig();
    const telemetry = await startTelemetry(config, () => undefined);
    const mesh = dial({ config, telemetry });
    const events = openEvents({ config, telemetry });
    const router = service({
      definition: LlmRouterServiceDefinition,
      descriptor: LlmRouterService,
      implementation: stub.#router(),
    });
    const parameters = service({
      definition: ParameterServiceDefinition,
      descriptor: ParameterService,
      implementation: stub.#parameters(),
    });
    await stub.#serve({ config, telemetry, mesh, events, services: [router, parameters] });
    return stub;
  }

  async #serve(options: ServeOptions): Promise<void> {
    this.#server = await serve(options);
  }

  reset(): void {
    for (const heard of [this.asked, this.fed, this.generated]) heard.length = 0;
    this.away.clear();
    this.hung.clear();
    this.refusal = undefined;
    this.say = () => "42";
    this.models = [model("small", true), model("large", true), model("gone", false)];
  }

  get address(): string {
    return this.#server?.address ?? "";
  }

  async stop(): Promise<void> {
    await this.#server?.drain();
  }

  async #enter(name: string, signal: AbortSignal): Promise<void> {
    if (this.away.has(name)) throw refusal(Status.UNAVAILABLE, "DEPENDENCY_UNAVAILABLE", `${name} is away`);
    if (this.hung.has(name))
      await new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason), { once: true }));
  }

  #router(): LlmRouterServiceImplementation<ServerCallContext> {
    const stub = this;
    return {
      async listModels({ pageToken }, { signal }) {
        await stub.#enter("llm-router", signal);
        // One a page, so that pages are followed.
        const at = pageToken === "" ? 0 : Number(pageToken);
        const nextPageToken = at + 1 < stub.models.length ? String(at + 1) : "";
        return { models: stub.models.slice(at, at + 1), nextPageToken };
      },
      async *generate(request, { signal }) {
        await stub.#enter("llm-router", signal);
        stub.generated.push(request);
        const text = await stub.say(request, signal);
        yield { event: { $case: "delta", value: { text, tokens: 2, logprobs: [] } } };
        const usage = { ...NO_USAGE, inputTokens: 5n, outputTokens: 2n, calls: 1, costMicroUsd: 3n };
        const finishReason = FinishReason.FINISH_REASON_STOP;
        yield { event: { $case: "end", value: { finishReason, stop: "", usage } } };
      },
      getRouting: unused,
      getUsage: unused,
      setBudget: unused,
    };
  }

  #parameters(): ParameterServiceImplementation<ServerCallContext> {
    const stub = this;
    const posterior = (armId: string) => {
      const rewards = stub.fed.filter((each) => armOf(each) === armId).map(({ reward }) => reward);
      const sum = rewards.reduce((total, reward) => total + reward, 0);
      const mean = (1 + sum) / (2 + rewards.length);
      return Posterior.fromPartial({ armId, mean, standardDeviation: 0.1, observations: rewards.length });
    };
    return {
      async getParameters(request, { signal }) {
        await stub.#enter("intelligent-parameter", signal);
        stub.asked.push(request);
        if (stub.refusal !== undefined) throw stub.refusal;
        const arms = request.candidates.map((parameters) => ({ armId: armIdOf(parameters), parameters }));
        const suggestions = Array.from({ length: request.count || 1 }, (_, draw) => {
          const [arm] = arms
            .map((each) => ({ ...each, drawn: unit(`${request.seed}/${draw}/${each.armId}`) }))
            .sort((a, b) => b.drawn - a.drawn);
          if (arm === undefined) throw new Error("the service under test asks among arms");
          const { armId, parameters, drawn } = arm;
          const propensity = 1 / arms.length;
          return { arm: { armId, parameters }, drawnReward: drawn, propensity, posterior: posterior(armId) };
        });
        return { suggestions };
      },
      async recordFeedback(request, { signal }) {
        await stub.#enter("intelligent-parameter", signal);
        if (!stub.fed.some(({ requestId }) => requestId === request.requestId)) stub.fed.push(request);
        const armId = armOf(request);
        return { posterior: posterior(armId) };
      },
      async samplePosterior({ armIds }, { signal }) {
        await stub.#enter("intelligent-parameter", signal);
        const samples = armIds.map((armId) => {
          if (!stub.fed.some((each) => armOf(each) === armId))
            throw refusal(Status.NOT_FOUND, "RESOURCE_NOT_FOUND", armId);
          return { posterior: posterior(armId) };
        });
        return { samples };
      },
    };
  }
}

export function model(name: string, available: boolean, price = 0n): Model {
  const prices = { inputMicroUsd: price, cachedInputMicroUsd: price, outputMicroUsd: price };
  return Model.fromPartial({ name, upstream: "stub", available, price: prices });
}

export function refusal(
  code: StatusError["code"],
  reason: Parameters<typeof StatusError.of>[0]["reason"],
  message: string,
): StatusError {
  return StatusError.of({ code, reason, message });
}

function armOf({ arm }: RecordFeedbackRequest): string {
  if (arm?.$case === "parameters") return armIdOf(arm.value);
  return arm?.value ?? "";
}

/** A number from 0 to 1 that follows from a text. */
function unit(text: string): number {
  return createHash("sha256").update(text).digest().readUInt32BE() / 2 ** 32;
}

function unused(): never {
  throw new Error("the service under test does not call this");
}
