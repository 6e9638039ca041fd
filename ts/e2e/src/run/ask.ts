import { randomUUID } from "node:crypto";
import { MemoryServiceDefinition } from "@uait/gen/uait/memory/v1/memory.js";
import { OrchestratorServiceDefinition, type RunResponse } from "@uait/gen/uait/orchestrator/v1/orchestrator.js";
import type { Answer } from "@uait/gen/uait/orchestrator/v1/run.js";
import { type Channel, type Client, createChannel, createClient, Metadata } from "nice-grpc";
import { failure, type Outcome } from "../edge/outcome.js";
import { until } from "../harness/network.js";
import type { Mesh } from "../mesh/mesh.js";
import { signed } from "./keys.js";

/** Memories are indexed after they were stored. */
const INDEXED_MS = 30_000;

type Service = Client<OrchestratorServiceDefinition>;
export type Request = Parameters<Service["run"]>[0];

/** A small task that the default model gets right sometimes and wrong sometimes. */
export const ARITHMETIC: Request = {
  task: "What is 7 + 5? Answer with the number alone.",
  taskType: "arithmetic",
  verifiers: [{ kind: { $case: "numeric", value: { expected: 12 } } }],
  sampling: { maxOutputTokens: 24 },
  budget: { maxNodes: 6 },
};

/** The same, tried once: for what does not depend on the search. */
export const ONE_ATTEMPT: Request = { ...ARITHMETIC, budget: { maxNodes: 1 } };

/** Judged by a model. */
export const JUDGED: Request = { ...ARITHMETIC, verifiers: [{ kind: { $case: "judge", value: {} } }] };

/** The same, tried once, and not by a DSPy program: judges are such programs already. */
export const JUDGED_ONCE: Request = { ...JUDGED, agents: ["direct", "reasoner"], budget: { maxNodes: 1 } };

/** What a Run told, and how it ended. */
export interface Told extends Omit<Outcome<Answer>, "response"> {
  readonly events: readonly RunResponse[];
  readonly answer: Answer | undefined;
}

/** Calls the orchestrator through the mesh's edge. */
export class Asker {
  readonly client: Service;
  readonly #channel: Channel;
  readonly #headers: Readonly<Record<string, string>>;

  constructor(mesh: Mesh, key: string = mesh.key) {
    this.#channel = createChannel(mesh.edge, undefined, { "grpc.max_send_message_length": 64 * 1024 * 1024 });
    this.client = createClient(OrchestratorServiceDefinition, this.#channel);
    this.#headers = key === "" ? {} : { authorization: `Bearer ${key}` };
  }

  /**
   * With a tenant of its own: what another's Runs taught would be context, and make its prompts longer each time. It has one
   * thing to remember, since who remembers nothing needs no vectors.
   */
  static async alone(mesh: Mesh): Promise<Asker> {
    const asker = new Asker(mesh, await signed(mesh, { tenant: randomUUID(), lifetime: 3600 }));
    const memory = createClient(MemoryServiceDefinition, asker.#channel, { "*": { metadata: asker.metadata } });
    const text = "Sums of small numbers are asked for often.";
    await memory.store({ requestId: randomUUID(), memory: { text } });
    const found = async () => (await memory.search({ query: text })).hits.some(({ vectorRank }) => vectorRank > 0);
    await until(found, { what: "a memory is found by its meaning", timeoutMs: INDEXED_MS });
    return asker;
  }

  get metadata(): Metadata {
    return Metadata(this.#headers);
  }

  /** Runs a task to its end; an error becomes part of what is returned. */
  async run(request: Request, options: { readonly signal?: AbortSignal; onEvent?(event: RunResponse): void } = {}) {
    const events: RunResponse[] = [];
    let trailer = Metadata();
    const stream = this.client.run(
      { requestId: randomUUID(), ...request },
      {
        metadata: this.metadata,
        onTrailer: (received) => {
          trailer = received;
        },
        ...(options.signal === undefined ? {} : { signal: options.signal }),
      },
    );
    try {
      for await (const event of stream) {
        events.push(event);
        options.onEvent?.(event);
      }
    } catch (error) {
      if (!(error instanceof Error) || !("code" in error) || !("details" in error)) throw error;
      const told = failure(Number(error.code), String(error.details), trailer.get("grpc-status-details-bin"));
      return { ...told, events, answer: undefined } satisfies Told;
    }
    const last = events.at(-1)?.event;
    const answer = last?.$case === "answer" ? last.value : undefined;
    const ok = { code: "OK", message: "", info: undefined, violations: [], retryAfterMs: undefined } as const;
    return { ...ok, events, answer } satisfies Told;
  }

  close(): void {
    this.#channel.close();
  }
}

/** The answer of a run that has one; its failure is the test's. */
export function answered(told: Told): Answer {
  if (told.answer === undefined) throw new Error(`no answer: ${told.code} ${told.message}`);
  return told.answer;
}
