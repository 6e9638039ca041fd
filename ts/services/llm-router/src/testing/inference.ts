import {
  type ChatRequest,
  type ChatResponse,
  InferenceServiceDefinition,
  type InferenceServiceImplementation,
} from "@uait/gen/uait/ml_inference/v1/ml_inference.js";
import { type DeepPartial, type Model as InferenceModel, ModelState } from "@uait/gen/uait/ml_inference/v1/model.js";
import { type CallContext, createServer, type Server, ServerError, Status } from "nice-grpc";

/** What the fake answers to a Chat. */
export type Chat = (request: ChatRequest, context: CallContext) => AsyncIterable<DeepPartial<ChatResponse>>;

/** ml-inference's gRPC service as a test wants it, in place of the mesh. */
export class FakeInference {
  chat: Chat = () => answer("hello");
  models: DeepPartial<InferenceModel>[] = [
    { name: "smollm2-135m-instruct", chat: true, contextTokens: 2048, state: ModelState.MODEL_STATE_READY },
  ];
  /** Whether it lists its models; else it is UNAVAILABLE. */
  lists = true;
  readonly requests: ChatRequest[] = [];
  readonly contexts: CallContext[] = [];
  address = "";

  private constructor(private readonly server: Server) {}

  static async start(): Promise<FakeInference> {
    const server = createServer();
    const fake = new FakeInference(server);
    server.add(InferenceServiceDefinition, fake.#implementation());
    fake.address = `127.0.0.1:${await server.listen("127.0.0.1:0")}`;
    return fake;
  }

  async stop(): Promise<void> {
    this.server.forceShutdown();
  }

  #implementation(): InferenceServiceImplementation {
    const none = (): never => {
      throw new ServerError(Status.UNIMPLEMENTED, "not of this test");
    };
    return {
      chat: (request, context) => {
        this.requests.push(request);
        this.contexts.push(context);
        return this.chat(request, context);
      },
      listModels: async () => {
        if (!this.lists) throw new ServerError(Status.UNAVAILABLE, "away");
        return { models: this.models };
      },
      generate: none,
      embed: none,
      rerank: none,
      getModel: none,
      loadModel: none,
      unloadModel: none,
      getStatistics: none,
    };
  }
}

/** A whole answer of one token a word. */
export async function* answer(text: string): AsyncGenerator<DeepPartial<ChatResponse>> {
  yield { event: { $case: "start", value: { model: "smollm2-135m-instruct", inputTokens: 7 } } };
  for (const word of text.split(/(?<= )/)) yield { event: { $case: "delta", value: { text: word, tokens: 1 } } };
  yield {
    event: {
      $case: "end",
      value: { finishReason: 1, usage: { inputTokens: 7n, outputTokens: BigInt(text.split(" ").length), calls: 1 } },
    },
  };
}

/** An answer that has begun, and goes on until its caller goes. */
export async function* beginning(signal: AbortSignal): AsyncGenerator<DeepPartial<ChatResponse>> {
  yield { event: { $case: "start", value: {} } };
  yield { event: { $case: "delta", value: { text: "a", tokens: 1 } } };
  await new Promise((resolve) => signal.addEventListener("abort", resolve));
  signal.throwIfAborted();
}
