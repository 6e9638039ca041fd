import { randomUUID } from "node:crypto";
import { readFile } from "node:fs/promises";
import { CATALOGUE_FILE, layout, loadCatalogue } from "@uait/cli";
import { inRepository } from "@uait/e2e";
import type { Duration } from "@uait/gen/google/protobuf/duration.js";
import {
  type DeepPartial,
  Detail,
  OrchestratorServiceDefinition,
  type RunRequest,
  type RunResponse,
} from "@uait/gen/uait/orchestrator/v1/orchestrator.js";
import type { Answer } from "@uait/gen/uait/orchestrator/v1/run.js";
import { type Channel, type Client, createChannel, createClient, Metadata } from "nice-grpc";

/** A run as it went. */
export interface Ran {
  readonly answer: Answer;
  readonly events: readonly RunResponse[];
}

/** Runs tasks on the running mesh, through its edge, with its development key. */
export class Runs {
  readonly #channel: Channel;
  readonly #client: Client<typeof OrchestratorServiceDefinition>;
  readonly #metadata: Metadata;

  private constructor(address: string, key: string) {
    this.#channel = createChannel(address);
    this.#client = createClient(OrchestratorServiceDefinition, this.#channel);
    this.#metadata = Metadata({ authorization: `Bearer ${key}` });
  }

  static async open(): Promise<Runs> {
    const { UAIT_PORT_BASE, UAIT_HOME, UAIT_TLS } = process.env;
    const catalogue = await loadCatalogue(inRepository(CATALOGUE_FILE));
    const mesh = layout(catalogue, { UAIT_PORT_BASE, UAIT_HOME, UAIT_TLS }, inRepository());
    const key = (await readFile(mesh.paths.devKey, "utf8")).trim();
    return new Runs(`${mesh.host("envoy")}:${mesh.port("envoy", "edge")}`, key);
  }

  /** Runs a task without context and without leaving anything behind from which a later run could learn its answer. */
  async run(request: DeepPartial<RunRequest>): Promise<Ran> {
    const events: RunResponse[] = [];
    const whole = {
      requestId: randomUUID(),
      context: { off: true },
      forgotten: true,
      detail: Detail.DETAIL_TOKENS,
      ...request,
    };
    for await (const event of this.#client.run(whole, { metadata: this.#metadata })) events.push(event);
    const last = events.at(-1)?.event;
    if (last?.$case !== "answer") throw new Error("a run ended without an answer");
    return { answer: last.value, events };
  }

  close(): void {
    this.#channel.close();
  }
}

/** Milliseconds of a duration. */
export function millis(duration: Duration | undefined): number {
  return duration === undefined ? 0 : Number(duration.seconds) * 1000 + duration.nanos / 1e6;
}
