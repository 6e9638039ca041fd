import type { SelectAgentRequest } from "@uait/gen/uait/agent_selector/v1/agent_selector.js";
import { type RunningServer, Status } from "@uait/kit";
import { failureOf, NatsServer, waitUntil } from "@uait/kit/testing";
import type { Metadata } from "nice-grpc";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { feedbackId } from "./learning.js";
import { MeshStub, model, refusal } from "./testing/mesh.js";
import { as, openClient, startService } from "./testing/service.js";

let mesh: MeshStub;
let nats: NatsServer;
let server: RunningServer;
let client: ReturnType<typeof openClient>;
let number = 0;

const acme = { metadata: as("acme") };
/** The failure of a call, with its details. */
const refused = <Request>(
  method: (
    request: Request,
    options: { readonly metadata: Metadata; readonly onTrailer: (trailer: Metadata) => void },
  ) => Promise<unknown>,
  request: Request,
  tenant = "acme",
) => failureOf(({ onTrailer }) => method(request, { metadata: as(tenant), onTrailer }));
const fresh = () => `r${number++}`;
const ask = (parts: Partial<SelectAgentRequest> = {}) => ({
  requestId: fresh(),
  task: "",
  taskType: "general",
  seed: 1n,
  ...parts,
});
const candidates = (parts: { agents?: string[]; models?: string[]; skills?: string[]; maxCostMicroUsd?: bigint }) => ({
  agents: [],
  models: [],
  skills: [],
  maxLatency: undefined,
  ...parts,
});

beforeAll(async () => {
  mesh = await MeshStub.start();
  nats = await NatsServer.start();
  server = await startService(mesh.address, { UAIT_NATS_URL: nats.url });
  client = openClient(server.address);
});
afterAll(async () => {
  client?.close();
  await server?.drain();
  await nats?.stop();
  await mesh?.stop();
});
beforeEach(() => mesh.reset());

describe("SelectAgent", () => {
  test("choices_are_different_explained_and_drawn_with_the_seed", async () => {
    const answer = await client.selector.selectAgent(ask({ count: 6 }), acme);
    expect(new Set(answer.choices.map(({ arm }) => arm?.armId)).size).toBe(6);
    expect(new Set(answer.choices.map(({ arm }) => arm?.parameters?.model))).toEqual(new Set(["small", "large"]));
    expect(answer.choices.every(({ agent, arm }) => arm?.parameters?.prompt === agent)).toBe(true);
    expect(answer.choices.map(({ propensity }) => propensity)[0]).toBeCloseTo(1 / 6);
    expect(answer.choices[0]?.reasons[0]).toBe("not tried in general yet, so believed to score 0.5 ± 0.1");
    expect(answer.choices[1]?.reasons[1]).toMatch(/^drew 0\.\d+, the highest of those left after 1$/u);
    expect(answer.degradations).toEqual([]);

    const again = await client.selector.selectAgent(ask({ count: 6 }), acme);
    expect(again.choices).toEqual(answer.choices);
    expect(again.selectionId).not.toBe(answer.selectionId);
    const firsts = await Promise.all(
      Array.from({ length: 12 }, (_, seed) => client.selector.selectAgent(ask({ seed: BigInt(seed) }), acme)),
    );
    expect(new Set(firsts.map(({ choices }) => choices[0]?.arm?.armId)).size).toBeGreaterThan(2);
  });

  test("more_choices_than_candidates_gives_them_all", async () => {
    const answer = await client.selector.selectAgent(ask({ count: 64 }), acme);
    expect(answer.choices.length).toBe(6);
    // Each call draws among what is left.
    expect(mesh.asked.map((request) => request.candidates.length)[0]).toBe(6);
  });

  test("request_repeated_gets_the_first_answer_and_with_other_content_is_refused", async () => {
    const request = ask({ count: 2 });
    const first = await client.selector.selectAgent(request, acme);
    expect(await client.selector.selectAgent(request, acme)).toEqual(first);
    const failure = await refused(client.selector.selectAgent, { ...request, count: 3 });
    expect(failure).toMatchObject({ code: Status.INVALID_ARGUMENT, reason: "REQUEST_ID_REUSED" });
  });

  test("task_without_a_type_is_classified", async () => {
    const answer = await client.selector.selectAgent(ask({ task: "What is 17 * 23?", taskType: "" }), acme);
    expect(answer.taskType).toBe("arithmetic");
    expect(answer.choices[0]?.reasons).toContain("the task reads like arithmetic");
    expect(mesh.asked[0]?.taskType).toBe("arithmetic");
  });

  test("limits_go_to_what_was_learned_and_its_refusal_to_the_caller", async () => {
    mesh.refusal = refusal(Status.FAILED_PRECONDITION, "NO_CANDIDATE", "too dear");
    const wanted = candidates({ agents: ["direct"], maxCostMicroUsd: 5n });
    const failure = await refused(client.selector.selectAgent, ask({ candidates: wanted }));
    expect(failure).toMatchObject({ code: Status.FAILED_PRECONDITION, reason: "NO_CANDIDATE" });
    expect(mesh.asked[0]?.maxCostMicroUsd).toBe(5n);
    const nobody = await refused(client.selector.selectAgent, ask({ candidates: candidates({ agents: ["nobody"] }) }));
    expect(nobody).toMatchObject({ code: Status.FAILED_PRECONDITION, reason: "NO_CANDIDATE" });
  });

  test("intelligent_parameter_away_or_hung_gives_a_uniform_seeded_draw_that_says_so", async () => {
    const hurried = await startService(mesh.address, {
      UAIT_NATS_URL: nats.url,
      // Enough for those neighbours that answer.
      AGENT_SELECTOR_NEIGHBOUR_TIMEOUT_MS: "500",
    });
    const { selector, close } = openClient(hurried.address);
    for (const state of [mesh.away, mesh.hung]) {
      mesh.reset();
      state.add("intelligent-parameter");
      const answer = await selector.selectAgent(ask({ count: 3 }), acme);
      expect(answer.degradations).toMatchObject([{ dependency: "intelligent-parameter" }]);
      expect(answer.choices.map(({ propensity }) => propensity)).toEqual([1 / 6, 1 / 6, 1 / 6]);
      expect(answer.choices[0]?.reasons).toEqual(["one of 6 at random, since what was learned is not at hand"]);
      expect((await selector.selectAgent(ask({ count: 3 }), acme)).choices).toEqual(answer.choices);
      // What was selected then can be learned from later.
      mesh.reset();
      const { agent = "", arm } = answer.choices[0] ?? {};
      const outcome = { $case: "score", value: 1 } as const;
      const report = { requestId: fresh(), selectionId: answer.selectionId, agent, armId: arm?.armId ?? "", outcome };
      expect((await selector.recordOutcome(report, acme)).posterior?.observations).toBe(1);
    }
    close();
    await hurried.drain();
  });

  test("neighbours_that_hang_leave_a_hurried_caller_its_answer", async () => {
    mesh.hung.add("intelligent-parameter").add("llm-router");
    // The service's own patience is two seconds with each; the caller has less than four for the whole.
    const signal = AbortSignal.timeout(30_000);
    const metadata = as("acme").set("grpc-timeout", "4000m");
    const answer = await client.selector.selectAgent(ask(), { metadata, signal });
    expect(answer.degradations.map(({ dependency }) => dependency)).toEqual(["llm-router", "intelligent-parameter"]);
  });

  test("llm_router_away_takes_the_models_asked_for_or_its_default_and_says_so", async () => {
    mesh.away.add("llm-router");
    const any = await client.selector.selectAgent(ask({ count: 8 }), acme);
    expect(any.choices.map(({ arm }) => arm?.parameters?.model)).toEqual(["", "", ""]);
    expect(any.degradations).toMatchObject([{ dependency: "llm-router" }]);
    const wanted = candidates({ models: ["x/y"], agents: ["direct"] });
    const named = await client.selector.selectAgent(ask({ candidates: wanted }), acme);
    expect(named.choices.map(({ arm }) => arm?.parameters?.model)).toEqual(["x/y"]);
  });
});

describe("RecordOutcome", () => {
  async function selected(target = client) {
    const { selectionId, choices } = await target.selector.selectAgent(ask(), acme);
    const { agent = "", arm } = choices[0] ?? {};
    return { selectionId, agent, armId: arm?.armId ?? "", parameters: arm?.parameters };
  }

  test("score_becomes_feedback_of_the_arm_with_its_propensity_once", async () => {
    const { parameters, ...choice } = await selected();
    const outcome = { $case: "score", value: 0.75 } as const;
    const latency = { seconds: 1n, nanos: 500_000_000 };
    const request = { requestId: fresh(), ...choice, outcome, latency };
    const answer = await client.selector.recordOutcome(request, acme);
    expect(answer.posterior).toMatchObject({ armId: choice.armId, observations: 1 });
    expect(await client.selector.recordOutcome(request, acme)).toEqual(answer);
    expect(mesh.fed).toMatchObject([
      {
        requestId: feedbackId(request.requestId),
        taskType: "general",
        reward: 0.75,
        propensity: 1 / 6,
        latency,
        arm: { $case: "parameters", value: parameters },
      },
    ]);
  });

  test("failure_counts_as_0_and_one_that_is_not_the_agents_is_not_counted", async () => {
    const { parameters: _, ...choice } = await selected();
    const report = async (code: number) =>
      await client.selector.recordOutcome(
        { requestId: fresh(), ...choice, outcome: { $case: "failed", value: { code, reason: "" } } },
        acme,
      );
    expect((await report(Status.CANCELLED)).posterior).toBeUndefined();
    expect(mesh.fed).toEqual([]);
    expect((await report(Status.INTERNAL)).posterior?.observations).toBe(1);
    expect((await report(Status.UNAVAILABLE)).posterior?.observations).toBe(1);
    expect(mesh.fed.map(({ reward }) => reward)).toEqual([0]);
  });

  test("selection_of_another_tenant_and_arm_that_was_not_chosen_are_refused", async () => {
    const { parameters: _, ...choice } = await selected();
    const outcome = { $case: "score", value: 1 } as const;
    const report = (parts: object, tenant = "acme") =>
      refused(client.selector.recordOutcome, { requestId: fresh(), ...choice, outcome, ...parts }, tenant);
    const foreign = await report({}, "globex");
    expect(foreign).toMatchObject({ code: Status.NOT_FOUND, reason: "RESOURCE_NOT_FOUND" });
    expect(await report({ selectionId: "none" })).toMatchObject({ code: Status.NOT_FOUND });
    expect(await report({ agent: "nobody" })).toMatchObject({
      code: Status.INVALID_ARGUMENT,
      reason: "VALUE_CONFLICT",
    });
    expect(mesh.fed).toEqual([]);
  });

  test("outcome_that_cannot_be_stored_is_unavailable", async () => {
    const { parameters: _, ...choice } = await selected();
    mesh.away.add("intelligent-parameter");
    const outcome = { $case: "score", value: 1 } as const;
    const request = { requestId: fresh(), ...choice, outcome };
    expect(await refused(client.selector.recordOutcome, request)).toMatchObject({ code: Status.UNAVAILABLE });
    mesh.away.clear();
    expect((await client.selector.recordOutcome(request, acme)).posterior?.observations).toBe(1);
  });

  test("selection_survives_a_restart_and_is_known_to_every_replica", async () => {
    const env = { UAIT_NATS_URL: nats.url };
    const first = await startService(mesh.address, env);
    const one = openClient(first.address);
    const { parameters: _, ...choice } = await selected(one);
    one.close();
    await first.drain();
    const second = await startService(mesh.address, env);
    const other = openClient(second.address);
    const outcome = { $case: "score", value: 1 } as const;
    for (const { selector } of [other, client]) {
      const request = { requestId: fresh(), ...choice, outcome };
      expect((await selector.recordOutcome(request, acme)).posterior?.armId).toBe(choice.armId);
    }
    other.close();
    await second.drain();
  });

  test("nats_away_leaves_a_selection_to_this_process_and_says_so", async () => {
    const alone = await startService(mesh.address);
    const { selector, close } = openClient(alone.address);
    const answer = await selector.selectAgent(ask(), acme);
    expect(answer.degradations).toMatchObject([{ dependency: "nats" }]);
    const { agent = "", arm } = answer.choices[0] ?? {};
    const outcome = { $case: "score", value: 1 } as const;
    const report = { requestId: fresh(), selectionId: answer.selectionId, agent, armId: arm?.armId ?? "", outcome };
    expect((await selector.recordOutcome(report, acme)).posterior?.observations).toBe(1);
    close();
    await alone.drain();
  });
});

describe("ExecuteWithBestAgent", () => {
  const order = (parts: object = {}) => ({ requestId: fresh(), task: "What is 6 * 7?", taskType: "", ...parts });
  afterEach(() => expect(mesh.generated.every(({ attribution }) => attribution?.agent !== "dspy")).toBe(true));

  test("task_is_run_by_the_agent_that_was_drawn", async () => {
    mesh.say = ({ messages }) => {
      const part = messages[0]?.parts[0]?.content;
      const asked = part?.$case === "text" ? part.value : "";
      return asked.includes("Think first") ? "Six sevens.\nAnswer: 42" : "42";
    };
    for (const agent of ["direct", "reasoner"]) {
      const request = order({ candidates: candidates({ agents: [agent], models: ["small"] }) });
      const answer = await client.selector.executeWithBestAgent(request, acme);
      expect(answer).toMatchObject({ text: "42", choice: { agent }, degradations: [] });
      expect(answer.usage).toMatchObject({ inputTokens: 5n, outputTokens: 2n, calls: 1, costMicroUsd: 3n });
      expect(answer.choice?.reasons).toContain("dspy was left out: only the orchestrator runs it");
      expect(await client.selector.executeWithBestAgent(request, acme)).toEqual(answer);
    }
    expect(mesh.generated.length).toBe(2);
    expect(mesh.generated[0]).toMatchObject({
      route: { target: { $case: "model", value: "small" } },
      attribution: { taskType: "arithmetic", agent: "direct" },
    });
    // Nobody has said how good the answers are.
    expect(mesh.fed).toEqual([]);
  });

  test("agent_that_fails_is_followed_by_the_next_and_its_own_failure_is_learned_from", async () => {
    let calls = 0;
    mesh.say = () => {
      calls++;
      if (calls === 1) throw refusal(Status.FAILED_PRECONDITION, "NO_CANDIDATE", "it cannot");
      if (calls === 2) throw refusal(Status.UNAVAILABLE, "MODEL_UNAVAILABLE", "it is not loaded");
      return "42";
    };
    const answer = await client.selector.executeWithBestAgent(order(), acme);
    expect(answer.text).toBe("42");
    expect(answer.degradations.map(({ failure }) => failure?.code)).toEqual([
      Status.FAILED_PRECONDITION,
      Status.UNAVAILABLE,
    ]);
    expect(mesh.fed).toMatchObject([{ reward: 0, taskType: "arithmetic" }]);
    const outcome = { $case: "score", value: 1 } as const;
    const { agent = "", arm } = answer.choice ?? {};
    const report = { requestId: fresh(), selectionId: answer.selectionId, agent, armId: arm?.armId ?? "", outcome };
    expect((await client.selector.recordOutcome(report, acme)).posterior?.observations).toBe(1);
  });

  test("all_agents_failing_is_the_failure_of_the_last", async () => {
    mesh.say = () => {
      throw refusal(Status.UNAVAILABLE, "MODEL_UNAVAILABLE", "none is loaded");
    };
    const failure = await refused(client.selector.executeWithBestAgent, order());
    expect(failure).toMatchObject({ code: Status.UNAVAILABLE, reason: "MODEL_UNAVAILABLE" });
    expect(mesh.generated.length).toBe(4);
  });

  test("what_no_agent_can_mend_is_not_tried_again", async () => {
    mesh.say = () => {
      throw refusal(Status.INVALID_ARGUMENT, "EXPRESSION_INVALID", "no such grammar");
    };
    const failure = await refused(client.selector.executeWithBestAgent, order());
    expect(failure).toMatchObject({ code: Status.INVALID_ARGUMENT, reason: "EXPRESSION_INVALID" });
    expect(mesh.generated.length).toBe(1);
  });

  test("agent_that_only_the_orchestrator_runs_is_no_candidate_here", async () => {
    const request = order({ candidates: candidates({ agents: ["dspy"] }) });
    const failure = await refused(client.selector.executeWithBestAgent, request);
    expect(failure).toMatchObject({ code: Status.FAILED_PRECONDITION, reason: "NO_CANDIDATE" });
  });

  test("budget_bounds_agents_tokens_cost_and_time", async () => {
    mesh.models = [model("paid", true, 10n), model("free", true)];
    const free = await client.selector.executeWithBestAgent(
      order({ budget: { maxCostMicroUsd: 0n, maxTokens: 9n } }),
      acme,
    );
    expect(free.choice?.arm?.parameters?.model).toBe("free");
    expect(mesh.generated[0]?.sampling?.maxOutputTokens).toBe(9);

    mesh.say = () => {
      throw refusal(Status.UNAVAILABLE, "MODEL_UNAVAILABLE", "none");
    };
    mesh.generated.length = 0;
    await refused(client.selector.executeWithBestAgent, order({ budget: { maxNodes: 2 } }));
    expect(mesh.generated.length).toBe(2);

    mesh.say = (_, signal) =>
      new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject(signal.reason), { once: true }));
    const maxWallTime = { seconds: 0n, nanos: 150_000_000 };
    const late = await refused(client.selector.executeWithBestAgent, order({ budget: { maxWallTime } }));
    expect(late).toMatchObject({ code: Status.RESOURCE_EXHAUSTED, reason: "BUDGET_EXHAUSTED" });
  });

  test("caller_that_goes_ends_the_call_of_the_model", async () => {
    let cut = false;
    mesh.say = (_, signal) =>
      new Promise((_resolve, reject) => {
        signal.addEventListener("abort", () => {
          cut = true;
          reject(signal.reason);
        });
      });
    const abort = new AbortController();
    const call = client.selector.executeWithBestAgent(order(), { ...acme, signal: abort.signal });
    const ended = call.catch(() => "ended");
    await waitUntil("the model is asked", () => mesh.generated.length === 1);
    abort.abort();
    expect(await ended).toBe("ended");
    await waitUntil("the call has ended", () => cut);
    expect(mesh.generated.length).toBe(1);
  });
});
