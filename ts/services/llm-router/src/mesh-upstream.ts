import { InferenceServiceDefinition } from "@uait/gen/uait/ml_inference/v1/ml_inference.js";
import { type Model as InferenceModel, ModelKind, ModelState } from "@uait/gen/uait/ml_inference/v1/model.js";
import type { Mesh, MeshClient } from "@uait/kit";
import { RouterError } from "./error.js";
import type { Generation, UpstreamEvent } from "./generation.js";
import { type Capability, FREE, type Model } from "./model.js";
import { Refreshed } from "./refreshed.js";
import type { Caller, Offer, Patience, Upstream } from "./upstream.js";

/** Catalogue name of the service behind it. */
const SERVICE = "ml-inference";
/** How long a list of models counts, in milliseconds. */
const OFFER_AGE_MS = 5000;
const OFFER_TIMEOUT_MS = 2000;
const ALL_EXTENSIONS = new Set(["topK", "minP", "repeatPenalty"] as const);
const MAX_STOPS = 16;

/** The models of ml-inference, through the mesh. */
export class MeshUpstream implements Upstream {
  readonly name = SERVICE;
  readonly patience: Patience;
  readonly #client: MeshClient<typeof InferenceServiceDefinition>;
  readonly #offer: Refreshed<Offer>;
  #known: readonly Model[] = [];

  constructor(options: { readonly mesh: Mesh; readonly patience: Patience; readonly now: () => number }) {
    this.#client = options.mesh.client(InferenceServiceDefinition);
    this.patience = options.patience;
    this.#offer = new Refreshed({ maxAgeMs: OFFER_AGE_MS, now: options.now });
  }

  async offer({ identity }: Caller, fresh = false): Promise<Offer> {
    const ask = () => this.#ask(identity);
    return await (fresh ? this.#offer.refresh(ask) : this.#offer.get(ask));
  }

  async *generate(model: Model, generation: Generation, from: Caller): AsyncGenerator<UpstreamEvent> {
    const { messages, tools, toolChoice, sampling, constraint, logprobs } = generation;
    const stream = this.#client.chat(
      {
        model: model.upstreamName,
        messages: [...messages],
        tools: [...tools],
        toolChoice,
        sampling,
        constraint,
        logprobs,
      },
      { from, service: SERVICE },
    );
    let ended = false;
    for await (const { event } of stream) {
      switch (event?.$case) {
        case "start":
          yield { kind: "accepted" };
          break;
        case "delta":
          yield { kind: "delta", delta: event.value };
          break;
        case "toolCall":
          yield { kind: "tool_call", call: event.value };
          break;
        case "end": {
          const { finishReason, stop, usage } = event.value;
          ended = true;
          yield {
            kind: "end",
            finishReason,
            stop,
            tokens: usage && {
              inputTokens: Number(usage.inputTokens),
              cachedInputTokens: Number(usage.cachedInputTokens),
              outputTokens: Number(usage.outputTokens),
              reasoningTokens: Number(usage.reasoningTokens),
            },
          };
        }
      }
    }
    if (!ended)
      throw new RouterError({ kind: "upstream", upstream: SERVICE, model: model.name, fault: "broken_stream" });
  }

  // The list is the same for every tenant, so whoever asks first asks for all; while ml-inference is away its last list stands.
  async #ask(identity: Caller["identity"]): Promise<Offer> {
    try {
      const models: InferenceModel[] = [];
      for (let pageToken = ""; ; ) {
        const request = { kind: ModelKind.MODEL_KIND_GENERATION, pageSize: 1000, pageToken };
        const options = { identity, timeoutMs: OFFER_TIMEOUT_MS, service: SERVICE, untraced: true };
        const page = await this.#client.listModels(request, options);
        models.push(...page.models);
        pageToken = page.nextPageToken;
        if (pageToken === "") break;
      }
      this.#known = models.filter(canChat).map(modelOf);
      return { available: true, models: this.#known };
    } catch {
      return { available: false, models: this.#known };
    }
  }
}

// Whether it has a chat template is known once it is loaded, which its first call does.
function canChat({ chat, state }: InferenceModel): boolean {
  return state === ModelState.MODEL_STATE_READY ? chat : state !== ModelState.MODEL_STATE_FAILED;
}

function modelOf({ name, contextTokens, tools }: InferenceModel): Model {
  const capabilities = new Set<Capability>(["local", "json_schema", "grammar", "logprobs"]);
  if (tools) capabilities.add("tools");
  return {
    name,
    upstreamName: name,
    upstream: SERVICE,
    capabilities,
    contextTokens,
    price: FREE,
    extensions: ALL_EXTENSIONS,
    maxStops: MAX_STOPS,
  };
}
