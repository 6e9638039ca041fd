import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ErrorInfo } from "@uait/gen/google/rpc/error_details.js";
import { Status as RpcStatus } from "@uait/gen/google/rpc/status.js";
import {
  OrchestratorServiceDefinition,
  type OrchestratorServiceImplementation,
  RunResponse,
} from "@uait/gen/uait/orchestrator/v1/orchestrator.js";
import { createServer, type Metadata, type Server, ServerError, Status } from "nice-grpc";
import { afterEach, beforeEach, expect, it } from "vitest";
import type { Context } from "../context.js";
import type { Failure } from "../failure.js";
import { ask } from "./ask.js";

type Run = OrchestratorServiceImplementation["run"];

let folder: string;
let server: Server | undefined;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "uait-ask-"));
  await writeFile(join(folder, "dev.key"), "a-key\n");
});

afterEach(async () => {
  await server?.shutdown();
  server = undefined;
  await rm(folder, { recursive: true });
});

/** A context whose edge is a server that runs tasks so. */
async function edge(run: Run, key = "dev.key"): Promise<Context> {
  const unused = (): never => {
    throw new Error("only Run is called");
  };
  const others = { getRun: unused, listRuns: unused, cancelRun: unused, recordFeedback: unused };
  server = createServer();
  server.add(OrchestratorServiceDefinition, { run, ...others });
  const port = await server.listen("127.0.0.1:0");
  const mesh = { host: () => "127.0.0.1", port: () => port, paths: { devKey: join(folder, key) } };
  return { mesh, signal: new AbortController().signal } as unknown as Context;
}

function refusal(code: Status, reason: string): ServerError {
  return Object.assign(new ServerError(code as never, "said so"), { reason });
}

/** Refuses with details, as the kit does. */
function refuse(context: { readonly trailer: Metadata }, code: Status, reason: string): never {
  const value = ErrorInfo.encode(ErrorInfo.fromPartial({ reason, domain: "uait.dev" })).finish();
  const details = [{ typeUrl: "type.googleapis.com/google.rpc.ErrorInfo", value }];
  context.trailer.set("grpc-status-details-bin", RpcStatus.encode({ code, message: "said so", details }).finish());
  throw refusal(code, reason);
}

const answer = RunResponse.fromPartial({ event: { $case: "answer", value: { text: "42", score: 1 } } });
const started = RunResponse.fromPartial({ event: { $case: "started", value: { taskType: "sums" } } });

const failureOf = (asked: Promise<unknown>): Promise<Failure> =>
  asked.then(
    () => Promise.reject(new Error("it was answered")),
    (failure) => failure,
  );

it("ask_runThatAnswers_tellsItsEventsAndReturnsTheAnswer", async () => {
  const keys: (string | undefined)[] = [];
  const context = await edge(async function* (_, { metadata }) {
    keys.push(metadata.get("authorization"));
    yield started;
    yield answer;
  });
  const told: string[] = [];
  expect((await ask(context, { task: "6 * 7" }, ({ $case }) => told.push($case))).text).toBe("42");
  expect(told).toEqual(["started", "answer"]);
  expect(keys).toEqual(["Bearer a-key"]);
});

it("ask_meshThatIsNotReadyYet_isAskedAgainWithTheSameRequestId", async () => {
  const ids: string[] = [];
  const context = await edge(async function* ({ requestId }, call) {
    ids.push(requestId);
    if (ids.length < 3) refuse(call, Status.UNAVAILABLE, "DEPENDENCY_UNAVAILABLE");
    yield answer;
  });
  expect((await ask(context, { task: "6 * 7" }, () => undefined)).score).toBe(1);
  expect(ids.length).toBe(3);
  expect(new Set(ids).size).toBe(1);
});

it("ask_modelThatIsMissing_saysHowToBringItBack", async () => {
  let calls = 0;
  // biome-ignore lint/correctness/useYield: it refuses
  const context = await edge(async function* (_, call) {
    calls++;
    refuse(call, Status.UNAVAILABLE, "MODEL_UNAVAILABLE");
  });
  const failure = await failureOf(ask(context, { task: "6 * 7" }, () => undefined));
  expect(failure.message).toContain("UNAVAILABLE (MODEL_UNAVAILABLE): said so");
  expect(failure.remedy).toContain("make install");
  expect(calls).toBe(1);
});

it("ask_runThatFailsOnceItHasBegun_isNotRunAgain", async () => {
  let calls = 0;
  const context = await edge(async function* (_, call) {
    calls++;
    yield started;
    refuse(call, Status.UNAVAILABLE, "DRAINING");
  });
  const failure = await failureOf(ask(context, { task: "6 * 7" }, () => undefined));
  expect([failure.reason, calls]).toEqual(["UNHEALTHY", 1]);
});

it("ask_withoutAKey_saysThatNoMeshWasStarted", async () => {
  // biome-ignore lint/correctness/useYield: it is not called
  const context = await edge(async function* () {
    throw new Error("it was called");
  }, "no.key");
  const failure = await failureOf(ask(context, { task: "6 * 7" }, () => undefined));
  expect([failure.reason, failure.remedy]).toEqual(["NOT_RUNNING", "make up"]);
});
