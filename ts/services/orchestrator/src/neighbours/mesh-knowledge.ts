import { ContextInjectionServiceDefinition } from "@uait/gen/uait/context/v1/context_injection.js";
import { ContextKind, ContextStorageServiceDefinition } from "@uait/gen/uait/context/v1/context_storage.js";
import type { Mesh, MeshClient, WorkContext } from "@uait/kit";
import type { Enrichment, Knowledge, Note, Question } from "./ports.js";

/** Longest text of a context, bytes. */
const MAX_TEXT_BYTES = 65_536;

/** The service `context`. */
export class MeshKnowledge implements Knowledge {
  readonly #injection: MeshClient<typeof ContextInjectionServiceDefinition>;
  readonly #storage: MeshClient<typeof ContextStorageServiceDefinition>;

  constructor(mesh: Mesh) {
    this.#injection = mesh.client(ContextInjectionServiceDefinition);
    this.#storage = mesh.client(ContextStorageServiceDefinition);
  }

  async enrich(question: Question, from: WorkContext): Promise<Enrichment> {
    const { task, sources, fileIds, maxTokens, minScore } = question;
    const answer = await this.#injection.enrich(
      // The sources have the same numbers in both contracts.
      { task, sources: [...sources] as never, fileIds: [...fileIds], maxTokens, minScore },
      { from },
    );
    const citations = answer.passages.flatMap(({ citation }) => (citation === undefined ? [] : [citation]));
    const { text, tokens, degradations } = answer;
    return { text, tokens, degradations, citations };
  }

  async store({ kind, requestId, runId, text, taskType, score }: Note, from: WorkContext): Promise<void> {
    const bytes = Buffer.from(text).subarray(0, MAX_TEXT_BYTES);
    await this.#storage.storeContext(
      {
        requestId,
        kind: kind === "answer" ? ContextKind.CONTEXT_KIND_RUN : ContextKind.CONTEXT_KIND_ERROR,
        sessionId: "",
        text: new TextDecoder().decode(bytes, { stream: true }),
        tags: [taskType],
        properties: {
          run_id: { kind: { $case: "text", value: runId } },
          score: { kind: { $case: "number", value: score } },
        },
      },
      { from },
    );
  }
}
