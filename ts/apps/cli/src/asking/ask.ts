import { randomUUID } from "node:crypto";
import { readFile } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { ChannelCredentials } from "@grpc/grpc-js";
import { ErrorInfo } from "@uait/gen/google/rpc/error_details.js";
import { Status as RpcStatus } from "@uait/gen/google/rpc/status.js";
import {
  type DeepPartial,
  Detail,
  OrchestratorServiceDefinition,
  type RunRequest,
} from "@uait/gen/uait/orchestrator/v1/orchestrator.js";
import type { Answer } from "@uait/gen/uait/orchestrator/v1/run.js";
import { ClientError, createChannel, createClient, Metadata, Status } from "nice-grpc";
import type { Context } from "../context.js";
import { Failure } from "../failure.js";
import type { RunEvent } from "./tree.js";

/** What is asked. */
export type Question = DeepPartial<RunRequest> & { readonly task: string };

/** ms for which a Run is tried that cannot begin: Envoy may still be learning who is healthy. */
const BEGIN_DEADLINE_MS = 30_000;
const DETAILS_KEY = "grpc-status-details-bin";

/** Runs a task through Envoy's edge with the development key, and tells what happens. @throws Failure */
export async function ask(context: Context, question: Question, onEvent: (event: RunEvent) => void): Promise<Answer> {
  const { mesh, signal } = context;
  const address = `${mesh.host("envoy")}:${mesh.port("envoy", "edge")}`;
  const channel = createChannel(address, ChannelCredentials.createInsecure());
  const client = createClient(OrchestratorServiceDefinition, channel);
  const key = await keyOf(context);
  const requestId = randomUUID();
  const deadline = performance.now() + BEGIN_DEADLINE_MS;
  try {
    for (;;) {
      let begun = false;
      let details: Uint8Array | undefined;
      try {
        const metadata = Metadata({ authorization: `Bearer ${key}` });
        const onTrailer = (trailer: Metadata): void => {
          details = trailer.get(DETAILS_KEY);
        };
        const request = { requestId, detail: Detail.DETAIL_TOKENS, ...question };
        for await (const { event } of client.run(request, { metadata, signal, onTrailer })) {
          begun = true;
          if (event === undefined) continue;
          onEvent(event);
          if (event.$case === "answer") return event.value;
        }
        throw broken("the run ended without an answer");
      } catch (cause) {
        if (!(cause instanceof ClientError)) throw cause;
        const away = cause.code === Status.UNAVAILABLE && reasonOf(details) !== "MODEL_UNAVAILABLE";
        if (!away || begun || performance.now() > deadline) throw failureOf(cause, reasonOf(details));
        await delay(250, undefined, { signal });
      }
    }
  } finally {
    channel.close();
  }
}

async function keyOf({ mesh }: Context): Promise<string> {
  try {
    return (await readFile(mesh.paths.devKey, "utf8")).trim();
  } catch (cause) {
    const message = `there is no development key at ${mesh.paths.devKey}: no mesh was started here`;
    throw new Failure({ reason: "NOT_RUNNING", message, remedy: "make up", cause });
  }
}

function failureOf(cause: ClientError, reason: string): Failure {
  const said = `${Status[cause.code] ?? cause.code}${reason === "" ? "" : ` (${reason})`}: ${cause.details}`;
  if (reason === "MODEL_UNAVAILABLE") {
    const remedy = "make install brings the models back; make logs S=ml-inference says which file is missing";
    return new Failure({ reason: "UNHEALTHY", message: `a model cannot answer: ${said}`, remedy, cause });
  }
  if (cause.code === Status.UNAVAILABLE && reason === "") {
    return new Failure({
      reason: "NOT_RUNNING",
      message: `the mesh does not answer: ${said}`,
      remedy: "make up",
      cause,
    });
  }
  return broken(`the run failed: ${said}`, cause);
}

function broken(message: string, cause?: unknown): Failure {
  return new Failure({
    reason: "UNHEALTHY",
    message,
    remedy: "make status, then make logs S=orchestrator",
    ...(cause === undefined ? {} : { cause }),
  });
}

function reasonOf(details: Uint8Array | undefined): string {
  if (details === undefined) return "";
  for (const { typeUrl, value } of RpcStatus.decode(details).details) {
    if (typeUrl.endsWith("/google.rpc.ErrorInfo")) return ErrorInfo.decode(value).reason;
  }
  return "";
}
