import { AbMctsService } from "@uait/gen/es/uait/ab_mcts/v1/ab_mcts_pb.js";
import { AgentSelectorService } from "@uait/gen/es/uait/agent_selector/v1/agent_selector_pb.js";
import { ContextInjectionService } from "@uait/gen/es/uait/context/v1/context_injection_pb.js";
import { ContextStorageService } from "@uait/gen/es/uait/context/v1/context_storage_pb.js";
import { DspyService } from "@uait/gen/es/uait/dspy/v1/dspy_pb.js";
import { ParameterService } from "@uait/gen/es/uait/intelligent_parameter/v1/parameter_pb.js";
import { LlmRouterService } from "@uait/gen/es/uait/llm_router/v1/llm_router_pb.js";
import { AbMctsServiceDefinition, type AbMctsServiceImplementation } from "@uait/gen/uait/ab_mcts/v1/ab_mcts.js";
import {
  AgentSelectorServiceDefinition,
  type AgentSelectorServiceImplementation,
  type RecordOutcomeRequest,
  type SelectAgentRequest,
} from "@uait/gen/uait/agent_selector/v1/agent_selector.js";
import {
  ContextInjectionServiceDefinition,
  type ContextInjectionServiceImplementation,
  type EnrichRequest,
} from "@uait/gen/uait/context/v1/context_injection.js";
import {
  ContextStorageServiceDefinition,
  type ContextStorageServiceImplementation,
  type StoreContextRequest,
} from "@uait/gen/uait/context/v1/context_storage.js";
import {
  DspyServiceDefinition,
  type DspyServiceImplementation,
  type PredictRequest,
} from "@uait/gen/uait/dspy/v1/dspy.js";
import {
  ParameterServiceDefinition,
  type ParameterServiceImplementation,
  type RecordFeedbackRequest,
} from "@uait/gen/uait/intelligent_parameter/v1/parameter.js";
import {
  type GenerateRequest,
  LlmRouterServiceDefinition,
  type LlmRouterServiceImplementation,
} from "@uait/gen/uait/llm_router/v1/llm_router.js";
import {
  dial,
  type KitContext,
  openEvents,
  type RunningServer,
  type ServerCallContext,
  Status,
  StatusError,
  serve,
  service,
  startTelemetry,
} from "@uait/kit";
import { testConfig } from "@uait/kit/testing";
import { TreeStub } from "./tree.js";

/** What a model answers: pieces, or a status. */
export type Say = (request: GenerateRequest, context: KitContext) => AsyncIterable<string> | Promise<string> | string;

/** The neighbours of the orchestrator, at one address, as a test wants them. */
export class MeshStub {
  readonly generated: GenerateRequest[] = [];
  readonly selected: SelectAgentRequest[] = [];
  readonly outcomes: RecordOutcomeRequest[] = [];
  readonly enriched: EnrichRequest[] = [];
  readonly stored: StoreContextRequest[] = [];
  readonly predicted: PredictRequest[] = [];
  readonly rewards: RecordFeedbackRequest[] = [];
  readonly tree = new TreeStub();
  /** Model calls that were cut off by their caller. */
  cut = 0;
  underWay = 0;
  /** Names of services that are away. */
  readonly away = new Set<string>();
  say: Say = () => "42";
  agents: readonly string[] = ["direct", "reasoner"];
  judge: (request: PredictRequest) => number = () => 1;
  #server: RunningServer | undefined;

  static async start(): Promise<MeshStub> {
    const stub = new MeshStub();
    await stub.#serve();
    return stub;
  }

  async #serve(): Promise<void> {
    const config = testConfig();
    const telemetry = await startTelemetry(config, () => undefined);
    const mesh = dial({ config, telemetry });
    const events = openEvents({ config, telemetry });
    this.#server = await serve({ config, telemetry, mesh, events, services: this.#services() });
  }

  /** As it was in the beginning, with nothing heard. */
  reset(): void {
    this.away.clear();
    this.say = () => "42";
    this.judge = () => 1;
    this.agents = ["direct", "reasoner"];
    this.cut = 0;
    const { generated, selected, outcomes, enriched, stored, predicted, rewards } = this;
    for (const heard of [generated, selected, outcomes, enriched, stored, predicted, rewards]) heard.length = 0;
  }

  get address(): string {
    return this.#server?.address ?? "";
  }

  async stop(): Promise<void> {
    await this.#server?.drain();
  }

  #services() {
    return [
      service({ definition: LlmRouterServiceDefinition, descriptor: LlmRouterService, implementation: this.#router() }),
      service({
        definition: AgentSelectorServiceDefinition,
        descriptor: AgentSelectorService,
        implementation: this.#selector(),
      }),
      service({
        definition: ContextInjectionServiceDefinition,
        descriptor: ContextInjectionService,
        implementation: this.#injection(),
      }),
      service({
        definition: ContextStorageServiceDefinition,
        descriptor: ContextStorageService,
        implementation: this.#storage(),
      }),
      service({ definition: DspyServiceDefinition, descriptor: DspyService, implementation: this.#dspy() }),
      service({
        definition: ParameterServiceDefinition,
        descriptor: ParameterService,
        implementation: this.#parameter(),
      }),
      service({ definition: AbMctsServiceDefinition, descriptor: AbMctsService, implementation: this.#abMcts() }),
    ];
  }

  #require(name: string): void {
    if (!this.away.has(name)) return;
    throw StatusError.of({ code: Status.UNAVAILABLE, reason: "DEPENDENCY_UNAVAILABLE", message: `${name} is away` });
  }

  #router(): LlmRouterServiceImplementation<ServerCallContext> {
    const stub = this;
    return {
      async *generate(request, context) {
        stub.#require("llm-router");
        stub.generated.push(request);
        stub.underWay++;
        let ended = false;
        try {
          const model = request.route?.target?.$case === "model" ? request.route.target.value : "default-model";
          yield {
            event: { $case: "routed", value: { model, upstream: "stub", attempt: 1, why: "", degradation: undefined } },
          };
          const said = await stub.say(request, context);
          let tokens = 0;
          for await (const text of typeof said === "string" ? pieces(said) : said) {
            tokens++;
            yield { event: { $case: "delta", value: { text, tokens: 1, logprobs: [] } } };
          }
          const usage = {
            inputTokens: 5n,
            cachedInputTokens: 0n,
            outputTokens: BigInt(tokens),
            reasoningTokens: 0n,
            calls: 1,
            costMicroUsd: 3n,
          };
          yield { event: { $case: "end", value: { finishReason: 1, stop: "", usage } } };
          ended = true;
        } finally {
          stub.underWay--;
          if (!ended && context.signal.aborted) stub.cut++;
        }
      },
      listModels: unused,
      getRouting: unused,
      getUsage: unused,
      setBudget: unused,
    };
  }

  #selector(): AgentSelectorServiceImplementation<ServerCallContext> {
    return {
      selectAgent: async (request) => {
        this.#require("agent-selector");
        this.selected.push(request);
        const { agents: wanted = [], models = [] } = request.candidates ?? {};
        const agents = this.agents.filter((agent) => wanted.length === 0 || wanted.includes(agent));
        const choices = agents.slice(0, request.count || 1).map((agent) => ({
          agent,
          arm: {
            armId: `arm-${agent}`,
            parameters: { model: models[0] ?? "", prompt: agent, sampling: undefined, extra: {} },
          },
          expectedScore: 0.5,
          propensity: 0.5,
          observations: 3,
          reasons: ["it did well"],
        }));
        return { selectionId: "selection", taskType: request.taskType || "arithmetic", choices, degradations: [] };
      },
      recordOutcome: async (request) => {
        this.#require("agent-selector");
        this.outcomes.push(request);
        return {};
      },
      executeWithBestAgent: unused,
    };
  }

  #injection(): ContextInjectionServiceImplementation<ServerCallContext> {
    return {
      enrich: async (request) => {
        this.#require("context");
        this.enriched.push(request);
        const citation = {
          source: { $case: "memoryId", value: "m1" } as const,
          title: "a memory",
          quote: "Known.",
          score: 0.5,
        };
        return {
          text: "[1] Known.",
          passages: [{ text: "Known.", citation, tokens: 2, suspicious: false }],
          tokens: 4,
          omitted: 0,
          degradations: [],
        };
      },
    };
  }

  #storage(): ContextStorageServiceImplementation<ServerCallContext> {
    return {
      storeContext: async (request) => {
        this.#require("context");
        this.stored.push(request);
        return {};
      },
      getContext: unused,
      updateContext: unused,
      searchContext: unused,
      deleteContext: unused,
      getStats: unused,
    };
  }

  #dspy(): DspyServiceImplementation<ServerCallContext> {
    return {
      predict: async (request) => {
        this.#require("dspy");
        this.predicted.push(request);
        const usage = {
          inputTokens: 2n,
          cachedInputTokens: 0n,
          outputTokens: 1n,
          reasoningTokens: 0n,
          calls: 1,
          costMicroUsd: 1n,
        };
        const outputs =
          request.program === "judge" ? { score: this.judge(request), explanation: "judged" } : { answer: "42" };
        return { outputs, reasoning: "", version: 1, model: "dspy-model", usage };
      },
      // biome-ignore lint/correctness/useYield: it is never called
      async *compile() {
        unused();
      },
      evaluate: unused,
      listPrograms: unused,
      getProgram: async () => {
        this.#require("dspy");
        return {};
      },
      deleteProgram: unused,
    };
  }

  #parameter(): ParameterServiceImplementation<ServerCallContext> {
    return {
      recordFeedback: async (request) => {
        this.rewards.push(request);
        return {};
      },
      getParameters: unused,
      samplePosterior: unused,
    };
  }

  #abMcts(): AbMctsServiceImplementation<ServerCallContext> {
    const { tree } = this;
    const guarded =
      <Request, Response>(work: (request: Request) => Response) =>
      async (request: Request) => {
        this.#require("ab-mcts");
        return work(request);
      };
    return {
      createSearch: guarded(({ spec }) => ({ search: tree.create(spec) })),
      ask: guarded(({ count }) => tree.ask(count || 1)),
      tell: guarded(({ outcomes }) => tree.tell(outcomes)),
      getSearch: guarded(() => ({ search: tree.search() })),
      feedback: guarded((request) => {
        tree.feedback.push(request);
        return {};
      }),
      // biome-ignore lint/correctness/useYield: it is never called
      async *search() {
        unused();
      },
      listSearches: unused,
      topK: unused,
      recommend: unused,
      // biome-ignore lint/correctness/useYield: it is never called
      async *watchSearch() {
        unused();
      },
      deleteSearch: unused,
    };
  }
}

async function* pieces(text: string): AsyncGenerator<string> {
  for (const piece of text.match(/\s*\S+/gu) ?? []) yield piece;
}

function unused(): never {
  throw new Error("the test has no such handler");
}
