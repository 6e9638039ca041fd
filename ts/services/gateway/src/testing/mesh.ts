import {
  type DeepPartial,
  type GenerateRequest,
  type GenerateResponse,
  LlmRouterServiceDefinition,
  type LlmRouterServiceImplementation,
} from "@uait/gen/uait/llm_router/v1/llm_router.js";
import {
  OrchestratorServiceDefinition,
  type OrchestratorServiceImplementation,
  type RunRequest,
  type RunResponse,
} from "@uait/gen/uait/orchestrator/v1/orchestrator.js";
import { FinishReason } from "@uait/gen/uait/types/v1/generation.js";
import { type CallContext, createServer, type Server, ServerError, Status } from "nice-grpc";

type Stream<Message> = AsyncIterable<DeepPartial<Message>>;

/** llm-router and orchestrator as a test wants them, in place of the mesh. */
export class FakeMesh {
  generate: (request: GenerateRequest, context: CallContext) => Stream<GenerateResponse> = () =>
    words("hello", " there");
  run: (request: RunRequest, context: CallContext) => Stream<RunResponse> = () => runOf("42");
  readonly generates: GenerateRequest[] = [];
  readonly runs: RunRequest[] = [];
  readonly contexts: CallContext[] = [];
  address = "";

  private constructor(private readonly server: Server) {}

  /** Starts it; `also` adds to the server what a test wants beside. */
  static async start(also: (server: Server) => void = () => undefined): Promise<FakeMesh> {
    const server = createServer();
    const fake = new FakeMesh(server);
    also(server);
    server.add(LlmRouterServiceDefinition, fake.#router());
    server.add(OrchestratorServiceDefinition, fake.#orchestrator());
    fake.address = `127.0.0.1:${await server.listen("127.0.0.1:0")}`;
    return fake;
  }

  async stop(): Promise<void> {
    this.server.forceShutdown();
  }

  #router(): LlmRouterServiceImplementation {
    return {
      generate: (request, context) => {
        this.generates.push(request);
        this.contexts.push(context);
        return this.generate(request, context);
      },
      // In two pages, as a long list is.
      listModels: async ({ pageToken }) =>
        pageToken === ""
          ? { models: [{ name: "cloud/gpt-x", upstream: "cloud" }], nextPageToken: "2" }
          : { models: [{ name: "smollm2-135m-instruct", upstream: "ml-inference" }] },
      getRouting: none,
      getUsage: none,
      setBudget: none,
    };
  }

  #orchestrator(): OrchestratorServiceImplementation {
    return {
      run: (request, context) => {
        this.runs.push(request);
        this.contexts.push(context);
        return this.run(request, context);
      },
      getRun: none,
      listRuns: none,
      cancelRun: none,
      recordFeedback: none,
    };
  }
}

const none = (): never => {
  throw new ServerError(Status.UNIMPLEMENTED, "not of this test");
};

const USAGE = { inputTokens: 7n, cachedInputTokens: 2n, outputTokens: 3n, reasoningTokens: 1n, calls: 1 };

/** A whole answer of the router. */
export async function* words(...texts: readonly string[]): Stream<GenerateResponse> {
  yield { event: { $case: "routed", value: { model: "smollm2-135m-instruct", upstream: "ml-inference", attempt: 1 } } };
  for (const text of texts) yield { event: { $case: "delta", value: { text, tokens: 1 } } };
  yield end();
}

export function end(finishReason: FinishReason = FinishReason.FINISH_REASON_STOP): DeepPartial<GenerateResponse> {
  return { event: { $case: "end", value: { finishReason, usage: USAGE } } };
}

/** A whole run of two attempts. */
export async function* runOf(text: string): Stream<RunResponse> {
  yield { event: { $case: "started", value: {} } };
  yield { event: { $case: "node", value: { nodeId: "n1" } } };
  yield { event: { $case: "score", value: { nodeId: "n1", score: 0.5 } } };
  yield { event: { $case: "answer", value: { text, usage: USAGE } } };
}
