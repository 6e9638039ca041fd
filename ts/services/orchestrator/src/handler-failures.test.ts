import { Status, StatusError } from "@uait/kit";
import { waitUntil } from "@uait/kit/testing";
import { describe, expect, test } from "vitest";
import { idOf, Scene, unavailable } from "./testing/scene.js";
import { answerOf, as, casesOf, collect, numeric, refusal, startService, task, valuesOf } from "./testing/service.js";
import { RunState, Strategy } from "./vocabulary.js";

const scene = new Scene();

describe("neighbours that are away", () => {
  test("run_goes_on_without_context_agents_and_search_and_says_so", async () => {
    for (const name of ["context", "agent-selector", "ab-mcts"]) scene.mesh.away.add(name);
    scene.mesh.say = () => (scene.mesh.generated.length < 3 ? "41" : "42");
    const events = await scene.run(task({ context: {}, search: { parallel: 1 } }));
    const answer = answerOf(events);
    expect(answer).toMatchObject({ text: "42", nodes: 3, degraded: true, agent: "direct" });
    expect(answer.degradations.map(({ dependency, failure }) => [dependency, failure?.code]).sort()).toEqual([
      ["ab-mcts", 14],
      ["agent-selector", 14],
      ["context", 14],
    ]);
    expect(valuesOf(events, "degraded").length).toBe(3);
    expect(casesOf(events)[0]).toBe("started");
  });

  test("collector_and_balancer_that_are_away_are_named_by_every_run", async () => {
    const lone = await startService(scene.mesh, {
      UAIT_LEASE: "on",
      OTEL_SDK_DISABLED: "false",
      OTEL_EXPORTER_OTLP_ENDPOINT: "http://127.0.0.1:9",
    });
    scene.mesh.say = () => "42";
    try {
      const { surroundings } = lone.server;
      await waitUntil(
        "both are known to be away",
        () => surroundings.traces === "down" && surroundings.lease === "down",
      );
      const events = await collect(lone.client.run(task(), as("acme")));
      expect(answerOf(events)).toMatchObject({ text: "42", degraded: true });
      expect(answerOf(events).degradations.map(({ dependency, effect }) => [dependency, effect])).toEqual([
        ["jaeger", "the run's trace is not recorded"],
        ["intelligent-load-balancer", "replicas that come or go are not noticed"],
      ]);
      expect(valuesOf(events, "degraded").length).toBe(2);
    } finally {
      await lone.stop();
    }
  });

  test.each([
    { agents: [], chosen: ["dspy"], by: "direct" },
    { agents: [], chosen: ["dspy", "reasoner"], by: "reasoner" },
    { agents: ["dspy", "reasoner"], chosen: ["dspy"], by: "reasoner" },
  ])("programs_away_of_$chosen_among_$agents_leave_the_attempts_to_$by", async ({ agents, chosen, by }) => {
    scene.mesh.agents = chosen;
    scene.mesh.away.add("dspy");
    const events = await scene.run(task({ agents, budget: { maxNodes: 1 } }));
    expect(answerOf(events)).toMatchObject({ agent: by, degraded: true, degradations: [{ dependency: "dspy" }] });
    expect(scene.mesh.predicted).toEqual([]);
  });

  test("programs_away_fail_a_run_of_nothing_else", async () => {
    scene.mesh.agents = ["dspy"];
    scene.mesh.away.add("dspy");
    const failure = await refusal(scene.service, task({ agents: ["dspy"], budget: { maxNodes: 1 } }));
    expect(failure).toMatchObject({ code: Status.UNAVAILABLE });
  });

  test("programs_that_go_away_while_a_run_is_made_are_named_by_its_answer", async () => {
    scene.mesh.agents = ["direct", "dspy"];
    scene.mesh.say = () => {
      scene.mesh.away.add("dspy");
      return "41";
    };
    const request = task({ search: { parallel: 1, strategy: Strategy.STRATEGY_BEST_OF }, budget: { maxNodes: 2 } });
    const events = await scene.run(request);
    expect(answerOf(events)).toMatchObject({ agent: "direct", nodes: 1, degraded: true });
    expect(answerOf(events).degradations).toMatchObject([
      { dependency: "dspy", effect: "attempts of its agent failed", failure: { code: Status.UNAVAILABLE } },
    ]);
  });

  test("search_that_goes_away_while_it_runs_is_finished_by_fresh_attempts", async () => {
    scene.mesh.say = () => {
      if (scene.mesh.generated.length === 2) scene.mesh.away.add("ab-mcts");
      return scene.mesh.generated.length < 4 ? "41" : "42";
    };
    const events = await scene.run(task({ search: { parallel: 1 } }));
    expect(answerOf(events)).toMatchObject({ text: "42", nodes: 4, degraded: true });
    expect(answerOf(events).degradations.map(({ dependency }) => dependency)).toEqual(["ab-mcts"]);
  });

  // The planner once had the deadline of its creation, and every run that took longer lost its search.
  test("search_outlives_the_time_that_a_neighbour_has", async () => {
    const hurried = await startService(scene.mesh, { UAIT_NEIGHBOUR_TIMEOUT_MS: "500" });
    const begunMs = performance.now();
    scene.mesh.say = async () => {
      await waitUntil("the time of a neighbour is over", () => performance.now() - begunMs > 600);
      return "41";
    };
    const events = await collect(hurried.client.run(task({ budget: { maxNodes: 4 } }), as("acme")));
    await hurried.stop();
    expect(answerOf(events)).toMatchObject({ nodes: 4, degraded: false });
    expect(scene.mesh.tree.nodes.length).toBe(4);
  });

  test("model_that_comes_back_within_a_moment_is_waited_for", async () => {
    let refused = 0;
    scene.mesh.say = () => {
      if (++refused <= 2) throw unavailable();
      return "42";
    };
    const events = await scene.run(task({ search: { strategy: Strategy.STRATEGY_SINGLE } }));
    expect(answerOf(events)).toMatchObject({ text: "42", score: 1 });
    expect(valuesOf(events, "nodeFailed")).toEqual([]);
  });
});

describe("failures", () => {
  test("attempt_that_fails_is_told_and_the_run_goes_on", async () => {
    scene.mesh.say = () => {
      if (scene.mesh.generated.length === 1)
        throw StatusError.of({ code: Status.RESOURCE_EXHAUSTED, reason: "OVERLOADED", message: "busy" });
      return "42";
    };
    const events = await scene.run(task({ search: { parallel: 1 } }));
    expect(valuesOf(events, "nodeFailed")).toMatchObject([
      { nodeId: "ask-1", failure: { code: 8, reason: "OVERLOADED" } },
    ]);
    expect(answerOf(events)).toMatchObject({ text: "42", nodes: 1 });
    expect(scene.mesh.tree.failed).toEqual(["ask-1"]);
  });

  test.each([
    ["unknown_model", Status.NOT_FOUND, "RESOURCE_NOT_FOUND"],
    ["input_too_long", Status.INVALID_ARGUMENT, "INPUT_TOO_LONG"],
    ["spent_budget", Status.RESOURCE_EXHAUSTED, "BUDGET_EXHAUSTED"],
    ["missing_scope", Status.PERMISSION_DENIED, "SCOPE_MISSING"],
  ] as const)("%s_is_the_status_of_the_run_after_one_try", async (_, code, reason) => {
    scene.mesh.say = () => {
      throw StatusError.of({ code, reason, message: "no such model" });
    };
    const request = task({ models: ["unknown"], agents: ["direct"], search: { parallel: 1 } });
    expect(await refusal(scene.service, request)).toMatchObject({ code, reason, message: "no such model" });
    expect(scene.mesh.generated.length).toBe(1);
    const { run: failed } = await scene.service.client.getRun({ runId: idOf(request) }, as("acme"));
    expect(failed).toMatchObject({ state: RunState.RUN_STATE_FAILED, failure: { code, reason } });
  });

  test("agent_that_nobody_knows_is_no_candidate", async () => {
    const failure = await refusal(scene.service, task({ agents: ["poet"] }));
    expect(failure).toMatchObject({ code: Status.FAILED_PRECONDITION, reason: "NO_CANDIDATE" });
  });
});

describe("bad input", () => {
  const regex = (pattern: string) => ({ kind: { $case: "regex" as const, value: { pattern } } });
  const schema = (text: string) => ({ kind: { $case: "jsonSchema" as const, value: { schema: text } } });
  const program = (source: string) => ({
    kind: { $case: "program" as const, value: { language: 1 as const, source } },
  });

  test.each([
    ["empty_task", { task: "" }, "task"],
    ["task_over_256_kib", { task: "x".repeat(256 * 1024 + 1) }, "task"],
    ["negative_nodes", { budget: { maxNodes: -1 } }, "budget.max_nodes"],
    ["negative_cost", { budget: { maxCostMicroUsd: -1n } }, "budget.max_cost_micro_usd"],
    ["negative_time", { budget: { maxWallTime: { seconds: -1n, nanos: 0 } } }, "budget.max_wall_time"],
    ["no_request_id", { requestId: "" }, "request_id"],
    ["model_that_is_no_name", { models: ["a b"] }, "models[0]"],
    ["verifier_without_a_kind", { verifiers: [{}] }, "verifiers[0].kind"],
  ])("%s_is_refused_by_its_field", async (_, more, field) => {
    const failure = await refusal(scene.service, task(more));
    expect(failure).toMatchObject({ code: Status.INVALID_ARGUMENT, reason: "FIELD_INVALID" });
    expect(failure.violations[0]?.field).toBe(field);
  });

  test.each([
    ["schema", { verifiers: [schema('{"type": 7}')] }, "verifiers[0].json_schema", "JSON Schema"],
    ["schema_that_is_no_json", { verifiers: [schema("{type}")] }, "verifiers[0].json_schema", "JSON Schema"],
    [
      "schema_with_a_remote_reference",
      { verifiers: [schema('{"$ref":"https://example.com/s.json"}')] },
      "verifiers[0].json_schema",
      "JSON Schema",
    ],
    [
      "output_schema",
      { output: { form: { $case: "jsonSchema" as const, value: "{}}" } } },
      "output.json_schema",
      "JSON Schema",
    ],
    [
      "output_regex",
      { output: { form: { $case: "regex" as const, value: "(" } } },
      "output.regex",
      "regular expression",
    ],
    ["regex", { verifiers: [numeric(1), regex("(")] }, "verifiers[1].regex", "regular expression"],
    ["program", { verifiers: [program("def")] }, "verifiers[0].program", "program"],
  ])("malformed_%s_is_refused_before_anything_runs", async (_, more, field, kind) => {
    const failure = await refusal(scene.service, task(more));
    expect(failure).toMatchObject({
      code: Status.INVALID_ARGUMENT,
      reason: "EXPRESSION_INVALID",
      metadata: { field, kind },
    });
    expect(scene.mesh.generated.length + scene.mesh.selected.length).toBe(0);
  });

  test("regex_that_hangs_others_runs_in_linear_time", async () => {
    scene.mesh.say = () => `${"a".repeat(20_000)}!`;
    const events = await scene.run(
      task({ verifiers: [regex("^(a+)+$"), schema('{"pattern":"^(a|a)*$"}')], budget: { maxNodes: 1 } }),
    );
    expect(answerOf(events).score).toBe(0);
  });
});
