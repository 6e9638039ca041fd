import type { LlmRouterServiceDefinition } from "@uait/gen/uait/llm_router/v1/llm_router.js";
import { type MeshClient, Status, StatusError } from "@uait/kit";
import type { HttpCall } from "./call.js";
import { ORCHESTRATOR_MODEL } from "./chat-request.js";

/** A model as `GET /v1/models` lists it. */
export interface ListedModel {
  readonly id: string;
  readonly object: "model";
  /** Unix time in seconds; nobody here knows when a model was made. */
  readonly created: number;
  readonly owned_by: string;
}

/** The models that the caller's key opens, by name. @throws StatusError */
export async function listModels(
  router: MeshClient<typeof LlmRouterServiceDefinition>,
  call: HttpCall,
): Promise<ListedModel[]> {
  const listed: ListedModel[] = [];
  if (call.may("llm-router.read")) {
    for (let pageToken = ""; ; ) {
      const page = await router.listModels({ pageSize: 1000, pageToken }, { from: call });
      listed.push(...page.models.map(({ name, upstream }) => modelOf(name, upstream)));
      pageToken = page.nextPageToken;
      if (pageToken === "") break;
    }
  }
  if (call.may("orchestrator.write")) listed.push(modelOf(ORCHESTRATOR_MODEL, "orchestrator"));
  return listed;
}

export function modelMissing(name: string): StatusError {
  return StatusError.of({
    code: Status.NOT_FOUND,
    reason: "RESOURCE_NOT_FOUND",
    message: `no model named ${JSON.stringify(name)}`,
    metadata: { resource: "model", name },
  });
}

function modelOf(id: string, owner: string): ListedModel {
  return { id, object: "model", created: 0, owned_by: owner };
}
