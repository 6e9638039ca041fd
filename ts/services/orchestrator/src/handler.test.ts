import { Detail } from "@uait/gen/uait/orchestrator/v1/orchestrator.js";
import { Status, StatusError } from "@uait/kit";
import { failureOf, waitUntil } from "@uait/kit/testing";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { MeshStub } from "./testing/mesh.js";
import {
  answerOf,
  as,
  casesOf,
  collect,
  newRequestId,
  numeric,
  refusal,
  type ServiceUnderTest,
  startService,
  task,
  valuesOf,
} from "./testing/service.js";
import { BudgetLimit, RunState, Strategy } from "./vocabulary.js";

let mesh: MeshStub;
let service: ServiceUnderTest;

beforeAll(async () => {
  mesh = await MeshStub.start();
  service = await startService(mesh);
});

afterAll(async () => {
  await service.stop();
  await mesh.stop();
});

beforeEach(() => {
  mesh.say = () => "42";
  mesh.judge = () => 1;
  mesh.cut = 0;
  for (const each of [mesh.generated, mesh.selected, mesh.outcomes, mesh.enriched, mesh.stored, mesh.predicted, mesh.rewards]) {
    each.length = 0;
  }
});

afterEach(() => mesh.away.clear());

const run = (request: ReturnType<typeof task>, tenant = "acme") => collect(service.client.run(request, as(tenant)));

describe("a run", () => {
  test("every_event_of_the_contract_comes_in_order_with_rising_numbers", async () => {
    mesh.say = (_, { signal: _signal }) => (mesh.generated.length === 1 ? "is it 41" : "it is 42");
    const events = await run(task({ search: { parallel: 1, seed: 7n }, context: {} }));
    expect(casesOf(events).filter((name) => name !== "context")).toEqual([
      "started", "agents",
      "node", "token", "token", "token", "score",
      "node", "token", "token", "token", "score",
      "answer",
    ]);
    const numbers = events.map(({ sequence }) => sequence);
    expect(numbers).toEqual([...numbers].sort((a, b) => Number(a - b)));
    expect(new Set(numbers).size).toBe(numbers.length);
    expect(numbers[0]).toBe(1n);
    const answer = answerOf(events);
    expect(answer).toMatchObject({ text: "it is 42", score: 1, nodes: 2, degraded: false, endedBy: 0, model: "default-model" });
    expect(answer.usage).toMatchObject({ inputTokens: 10n, outputTokens: 6n, calls: 2, costMicroUsd: 6n });
    expect(answer.verdicts).toMatchObject([{ verifier: "numeric", score: 1 }]);
    expect(answer.citations).toMatchObject([{ title: "a memory" }]);
    expect(valuesOf(events, "context")).toMatchObject([{ tokens: 4 }]);
    expect(valuesOf(events, "score").map(({ best, nodes }) => [best, nodes])).toEqual([[true, 1], [true, 2]]);
  });

  test("search_of_the_mesh_is_asked_and_told_and_refinements_show_the_attempt_and_its_verdicts", async () => {
    mesh.say = () => "I say 41";
    const events = await run(task({ search: { parallel: 1 }, budget: { maxNodes: 4 } }));
    expect(valuesOf(events, "started")[0]?.searchId).toBe("search-1");
    expect(valuesOf(events, "node").map(({ parentId, depth }) => [parentId, depth])).toEqual([
      ["root", 1], ["ask-1", 2], ["root", 1], ["ask-1", 2],
    ]);
    expect(mesh.tree.nodes.length).toBe(4);
    const texts = (mesh.generated[1]?.messages ?? []).map(({ parts }) => parts[0]?.content?.value);
    expect(texts[1]).toBe("I say 41");
    expect(texts[2]).toContain("scores 0 out of 1");
    expect(texts[2]).toContain("41 is not the number expected");
    expect(texts.join()).not.toContain("42");
  });

  test("agents_of_the_selector_make_attempts_and_hear_how_each_did", async () => {
    mesh.agents = ["direct", "reasoner", "dspy"];
    mesh.say = ({ attribution }) => (attribution?.agent === "reasoner" ? "Six sevens.\nAnswer: 40" : "41");
    const request = task({ search: { parallel: 1, strategy: Strategy.STRATEGY_BEST_OF }, taskType: "sums", budget: { maxNodes: 3 } });
    const events = await run(request);
    expect(valuesOf(events, "score").map(({ text, model }) => [text, model])).toEqual([
      ["41", "default-model"], ["40", "default-model"], ["42", "dspy-model"],
    ]);
    expect(answerOf(events)).toMatchObject({ agent: "dspy", text: "42" });
    expect(mesh.generated.map(({ attribution }) => attribution?.taskType)).toEqual(["sums", "sums"]);
    await waitUntil("all outcomes are recorded", () => mesh.outcomes.length === 3);
    expect(mesh.outcomes.map(({ agent, armId, outcome }) => [agent, armId, outcome?.value]).sort()).toEqual([
      ["direct", "arm-direct", 0], ["dspy", "arm-dspy", 1], ["reasoner", "arm-reasoner", 0],
    ]);
    mesh.agents = ["direct", "reasoner"];
  });

  test("several_attempts_are_under_way_at_once", async () => {
    let most = 0;
    let release: () => void = () => undefined;
    const all = new Promise<void>((resolve) => {
      release = resolve;
    });
    mesh.say = async () => {
      most = Math.max(most, mesh.underWay);
      if (mesh.underWay === 4) release();
      await all;
      return "41";
    };
    await run(task({ search: { parallel: 4, strategy: Strategy.STRATEGY_BEST_OF }, budget: { maxNodes: 8 } }));
    expect(most).toBe(4);
  });

  test("same_seed_gives_each_attempt_the_same_seed_of_its_own", async () => {
    mesh.say = () => "41";
    const seeds: (bigint | undefined)[][] = [];
    for (const seed of [7n, 7n, 8n]) {
      mesh.generated.length = 0;
      await run(task({ search: { seed, parallel: 1 }, budget: { maxNodes: 3 } }));
      seeds.push(mesh.generated.map(({ sampling }) => sampling?.seed));
    }
    expect(seeds[0]).toEqual(seeds[1]);
    expect(new Set([...(seeds[0] ?? []), ...(seeds[2] ?? [])]).size).toBe(6);
  });

  test("detail_answer_tells_the_start_and_the_answer_only", async () => {
    const events = await run(task({ detail: Detail.DETAIL_ANSWER }));
    expect(casesOf(events)).toEqual(["started", "answer"]);
  });

  test("answer_is_stored_as_context_unless_it_is_bad_or_the_run_forgotten", async () => {
    await run(task());
    await waitUntil("it is stored", () => mesh.stored.length === 1);
    expect(mesh.stored[0]).toMatchObject({ kind: 2, text: "Task: What is 6 * 7?\nAnswer: 42" });
    mesh.say = () => "41";
    const bad = task({ budget: { maxNodes: 1 } });
    await run(bad);
    mesh.say = () => "42";
    const forgotten = task({ forgotten: true });
    await run(forgotten);
    // A third run whose answer is stored shows that those before it have been through.
    await run(task({ task: "What is 6 times 7?" }));
    await waitUntil("the last is stored", () => mesh.stored.some(({ text }) => text.includes("times")));
    expect(mesh.stored.length).toBe(2);
  });
});

describe("strategies and budgets", () => {
  test("single_makes_one_attempt_without_a_search", async () => {
    mesh.say = () => "41";
    const events = await run(task({ search: { strategy: Strategy.STRATEGY_SINGLE } }));
    expect(valuesOf(events, "started")[0]?.searchId).toBe("");
    expect(answerOf(events)).toMatchObject({ nodes: 1, score: 0, endedBy: BudgetLimit.BUDGET_LIMIT_NODES });
  });

  test("nodes_are_16_where_nothing_is_said", async () => {
    mesh.say = () => "41";
    const events = await run(task());
    expect(valuesOf(events, "started")[0]?.budget).toMatchObject({
      maxNodes: 16, maxTokens: 100_000n, maxCostMicroUsd: 1_000_000n, maxWallTime: { seconds: 300n },
    });
    expect(answerOf(events)).toMatchObject({ nodes: 16, endedBy: BudgetLimit.BUDGET_LIMIT_NODES });
  });

  test("tokens_end_a_run_and_bound_each_attempt", async () => {
    mesh.say = () => "one two three four";
    const events = await run(task({ budget: { maxTokens: 20n }, search: { parallel: 1 } }));
    expect(answerOf(events).endedBy).toBe(BudgetLimit.BUDGET_LIMIT_TOKENS);
    expect(mesh.generated.map(({ sampling }) => sampling?.maxOutputTokens)).toEqual([20, 11, 2]);
  });

  test("cost_ends_a_run", async () => {
    mesh.say = () => "41";
    const events = await run(task({ budget: { maxCostMicroUsd: 5n }, search: { parallel: 1 } }));
    expect(answerOf(events)).toMatchObject({ nodes: 2, endedBy: BudgetLimit.BUDGET_LIMIT_COST });
  });

  test("time_ends_a_run_with_the_best_answer_so_far", async () => {
    mesh.say = ({}, { signal }) => (mesh.generated.length === 1 ? "41" : never(signal));
    const events = await run(task({ budget: { maxWallTime: { seconds: 0n, nanos: 500_000_000 } } }));
    expect(answerOf(events)).toMatchObject({ text: "41", endedBy: BudgetLimit.BUDGET_LIMIT_WALL_TIME });
    await waitUntil("the others are cut off", () => mesh.underWay === 0);
    expect(mesh.cut).toBeGreaterThan(0);
  });

  test("time_that_ends_within_the_first_attempt_answers_with_what_there_is_of_it", async () => {
    mesh.say = async function* (_, { signal }) {
      yield "forty";
      await never(signal);
    };
    const events = await run(task({ budget: { maxWallTime: { seconds: 0n, nanos: 300_000_000 } }, search: { parallel: 1 } }));
    expect(answerOf(events)).toMatchObject({ text: "forty", nodes: 1, endedBy: BudgetLimit.BUDGET_LIMIT_WALL_TIME });
  });

  test("time_that_ends_before_any_text_is_a_spent_budget", async () => {
    mesh.say = (_, { signal }) => never(signal);
    const failure = await refusal(service, task({ budget: { maxWallTime: { seconds: 0n, nanos: 100_000_000 } } }));
    expect(failure).toMatchObject({ code: Status.RESOURCE_EXHAUSTED, reason: "BUDGET_EXHAUSTED", metadata: { budget: "max_wall_time" } });
  });
});

describe("scores", () => {
  test("weighted_mean_of_the_verifiers_is_the_score", async () => {
    mesh.say = () => "41";
    mesh.judge = () => 0.5;
    const verifiers = [{ ...numeric(42), weight: 3, name: "right" }, { kind: { $case: "judge" as const, value: {} } }];
    const events = await run(task({ verifiers, budget: { maxNodes: 1 } }));
    expect(answerOf(events)).toMatchObject({ score: 0.125 });
    expect(answerOf(events).verdicts.map(({ verifier, score }) => [verifier, score])).toEqual([["right", 0], ["judge", 0.5]]);
    expect(mesh.predicted[0]?.inputs).toMatchObject({ task: "What is 6 * 7?", answer: "41" });
    expect(answerOf(events).usage).toMatchObject({ calls: 2 });
  });

  test("programs_score", async () => {
    const source = "import sys\nprint(0.5 if '42' in sys.stdin.read() else 0)";
    const verifiers = [{ kind: { $case: "program" as const, value: { language: 1 as const, source, timeout: { seconds: 20n, nanos: 0 } } } }];
    const events = await run(task({ verifiers, budget: { maxNodes: 1 } }));
    expect(answerOf(events).score).toBe(0.5);
  });

  test.each([
    ["loops", "while True: pass", "it was stopped after 300 ms"],
    ["reads_a_file", "print(open('/etc/passwd').read())", "FileNotFoundError"],
  ])("program_that_%s_scores_nothing", async (_, source, explanation) => {
    const value = { language: 1 as const, source, timeout: { seconds: 0n, nanos: 300_000_000 } };
    const events = await run(task({ verifiers: [{ kind: { $case: "program", value } }], budget: { maxNodes: 1 } }));
    expect(answerOf(events).score).toBe(0);
    expect(answerOf(events).verdicts[0]?.explanation).toContain(explanation);
  });

  test("agreement_is_scored_again_when_all_attempts_are_there", async () => {
    const said = ["41", "42", "42", "42"];
    mesh.say = () => said[mesh.generated.length - 1] ?? "";
    const verifiers = [{ kind: { $case: "agreement" as const, value: {} } }];
    const search = { strategy: Strategy.STRATEGY_BEST_OF, parallel: 1 };
    const events = await run(task({ verifiers, search, budget: { maxNodes: 4 } }));
    expect(answerOf(events)).toMatchObject({ text: "42" });
    expect(answerOf(events).score).toBeCloseTo(2 / 3, 10);
  });

  test("schema_of_the_output_scores_where_no_verifier_is_named", async () => {
    mesh.say = () => '{"a": 1}';
    const schema = '{"type":"object","required":["a","b"],"properties":{"a":{"type":"number"}}}';
    const events = await run(task({ verifiers: [], output: { form: { $case: "jsonSchema", value: schema } }, budget: { maxNodes: 1 } }));
    expect(answerOf(events)).toMatchObject({ score: 0.5, verdicts: [{ verifier: "json_schema" }] });
    expect(mesh.generated[0]?.constraint?.form).toEqual({ $case: "jsonSchema", value: schema });
  });

  test("judge_scores_where_nothing_is_named_and_agreement_where_it_is_away", async () => {
    mesh.judge = () => 0.75;
    const judged = await run(task({ verifiers: [], budget: { maxNodes: 1 } }));
    expect(answerOf(judged)).toMatchObject({ score: 0.75, verdicts: [{ verifier: "judge", explanation: "judged" }] });
    mesh.away.add("dspy");
    const agreed = await run(task({ verifiers: [], budget: { maxNodes: 4 }, search: { strategy: Strategy.STRATEGY_BEST_OF } }));
    expect(answerOf(agreed)).toMatchObject({ score: 1, degraded: true, verdicts: [{ verifier: "agreement" }] });
    expect(answerOf(agreed).degradations.map(({ dependency }) => dependency)).toEqual(["dspy"]);
  });
});

describe("neighbours that are away", () => {
  test("run_goes_on_without_context_agents_and_search_and_says_so", async () => {
    for (const name of ["context", "agent-selector", "ab-mcts"]) mesh.away.add(name);
    mesh.say = () => (mesh.generated.length < 3 ? "41" : "42");
    const events = await run(task({ context: {}, search: { parallel: 1 } }));
    const answer = answerOf(events);
    expect(answer).toMatchObject({ text: "42", nodes: 3, degraded: true, agent: "direct" });
    expect(answer.degradations.map(({ dependency, failure }) => [dependency, failure?.code]).sort()).toEqual([
      ["ab-mcts", 14], ["agent-selector", 14], ["context", 14],
    ]);
    expect(valuesOf(events, "degraded").length).toBe(3);
    expect(casesOf(events)[0]).toBe("started");
  });

  test("search_that_goes_away_while_it_runs_is_finished_by_fresh_attempts", async () => {
    mesh.say = () => {
      if (mesh.generated.length === 2) mesh.away.add("ab-mcts");
      return mesh.generated.length < 4 ? "41" : "42";
    };
    const events = await run(task({ search: { parallel: 1 } }));
    expect(answerOf(events)).toMatchObject({ text: "42", nodes: 4, degraded: true });
    expect(answerOf(events).degradations.map(({ dependency }) => dependency)).toEqual(["ab-mcts"]);
  });

  test("model_that_comes_back_within_a_moment_is_waited_for", async () => {
    let refused = 0;
    mesh.say = () => {
      if (++refused <= 2) throw unavailable();
      return "42";
    };
    const events = await run(task({ search: { strategy: Strategy.STRATEGY_SINGLE } }));
    expect(answerOf(events)).toMatchObject({ text: "42", score: 1 });
    expect(valuesOf(events, "nodeFailed")).toEqual([]);
  });
});

describe("failures", () => {
  test("attempt_that_fails_is_told_and_the_run_goes_on", async () => {
    mesh.say = () => {
      if (mesh.generated.length === 1) throw StatusError.of({ code: Status.RESOURCE_EXHAUSTED, reason: "OVERLOADED", message: "busy" });
      return "42";
    };
    const events = await run(task({ search: { parallel: 1 } }));
    expect(valuesOf(events, "nodeFailed")).toMatchObject([{ nodeId: "ask-1", failure: { code: 8, reason: "OVERLOADED" } }]);
    expect(answerOf(events)).toMatchObject({ text: "42", nodes: 1 });
    expect(mesh.tree.failed).toEqual(["ask-1"]);
  });

  test.each([
    ["unknown_model", Status.NOT_FOUND, "RESOURCE_NOT_FOUND"],
    ["input_too_long", Status.INVALID_ARGUMENT, "INPUT_TOO_LONG"],
    ["spent_budget", Status.RESOURCE_EXHAUSTED, "BUDGET_EXHAUSTED"],
    ["missing_scope", Status.PERMISSION_DENIED, "SCOPE_MISSING"],
  ] as const)("%s_is_the_status_of_the_run_after_one_try", async (_, code, reason) => {
    mesh.say = () => {
      throw StatusError.of({ code, reason, message: "no such model" });
    };
    const request = task({ models: ["unknown"], agents: ["direct"], search: { parallel: 1 } });
    expect(await refusal(service, request)).toMatchObject({ code, reason, message: "no such model" });
    expect(mesh.generated.length).toBe(1);
    const { run: failed } = await service.client.getRun({ runId: await idOf(request) }, as("acme"));
    expect(failed).toMatchObject({ state: RunState.RUN_STATE_FAILED, failure: { code, reason } });
  });

  test("agent_that_nobody_knows_is_no_candidate", async () => {
    const failure = await refusal(service, task({ agents: ["poet"] }));
    expect(failure).toMatchObject({ code: Status.FAILED_PRECONDITION, reason: "NO_CANDIDATE" });
  });
});

describe("bad input", () => {
  const regex = (pattern: string) => ({ kind: { $case: "regex" as const, value: { pattern } } });
  const schema = (text: string) => ({ kind: { $case: "jsonSchema" as const, value: { schema: text } } });
  const program = (source: string) => ({ kind: { $case: "program" as const, value: { language: 1 as const, source } } });

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
    const failure = await refusal(service, task(more));
    expect(failure).toMatchObject({ code: Status.INVALID_ARGUMENT, reason: "FIELD_INVALID" });
    expect(failure.violations[0]?.field).toBe(field);
  });

  test.each([
    ["schema", { verifiers: [schema('{"type": 7}')] }, "verifiers[0].json_schema", "JSON Schema"],
    ["schema_that_is_no_json", { verifiers: [schema("{type}")] }, "verifiers[0].json_schema", "JSON Schema"],
    ["schema_with_a_remote_reference", { verifiers: [schema('{"$ref":"https://example.com/s.json"}')] }, "verifiers[0].json_schema", "JSON Schema"],
    ["output_schema", { output: { form: { $case: "jsonSchema" as const, value: "{}}" } } }, "output.json_schema", "JSON Schema"],
    ["output_regex", { output: { form: { $case: "regex" as const, value: "(" } } }, "output.regex", "regular expression"],
    ["regex", { verifiers: [numeric(1), regex("(")] }, "verifiers[1].regex", "regular expression"],
    ["program", { verifiers: [program("def")] }, "verifiers[0].program", "program"],
  ])("malformed_%s_is_refused_before_anything_runs", async (_, more, field, kind) => {
    const failure = await refusal(service, task(more));
    expect(failure).toMatchObject({ code: Status.INVALID_ARGUMENT, reason: "EXPRESSION_INVALID", metadata: { field, kind } });
    expect(mesh.generated.length + mesh.selected.length).toBe(0);
  });

  test("regex_that_hangs_others_runs_in_linear_time", async () => {
    mesh.say = () => `${"a".repeat(20_000)}!`;
    const events = await run(task({ verifiers: [regex("^(a+)+$"), schema('{"pattern":"^(a|a)*$"}')], budget: { maxNodes: 1 } }));
    expect(answerOf(events).score).toBe(0);
  });
});

describe("joining and cancelling", () => {
  test("repeat_joins_the_run_that_is_under_way_and_both_get_its_answer", async () => {
    let release: (text: string) => void = () => undefined;
    mesh.say = () => new Promise((resolve) => (release = resolve));
    const request = task({ search: { strategy: Strategy.STRATEGY_SINGLE } });
    const first = run(request);
    await waitUntil("the model is asked", () => mesh.generated.length === 1);
    const second = run({ ...request, resumeAfter: 1n });
    await new Promise(setImmediate);
    release("42");
    const [all, rest] = await Promise.all([first, second]);
    expect(answerOf(all)).toEqual(answerOf(rest));
    expect(casesOf(rest)).not.toContain("started");
    expect(mesh.generated.length).toBe(1);
    expect(answerOf(await run({ ...request, resumeAfter: 3n }))).toEqual(answerOf(all));
  });

  test("same_request_id_with_another_task_is_refused", async () => {
    const request = task();
    await run(request);
    const failure = await refusal(service, { ...request, task: "What is 6 * 8?" });
    expect(failure).toMatchObject({ code: Status.INVALID_ARGUMENT, reason: "REQUEST_ID_REUSED" });
    expect(answerOf(await run(request, "globex")).text).toBe("42");
  });

  test("caller_that_goes_away_cancels_the_run_down_to_the_model", async () => {
    mesh.say = async function* (_, { signal }) {
      for (;;) {
        yield "word";
        await new Promise(setImmediate);
        signal.throwIfAborted();
      }
    };
    const request = task({ search: { parallel: 2 } });
    const abort = new AbortController();
    const stream = service.client.run(request, { ...as("acme"), signal: abort.signal });
    await expect(async () => {
      for await (const { event } of stream) if (event?.$case === "token") abort.abort();
    }).rejects.toThrow();
    await waitUntil("the models are cut off", () => mesh.underWay === 0);
    expect(mesh.cut).toBe(2);
    const runId = await idOf(request);
    const stateOf = async () => (await service.client.getRun({ runId }, as("acme"))).run?.state;
    await waitUntil("it is cancelled", async () => (await stateOf()) === RunState.RUN_STATE_CANCELLED);
  });

  test("detached_run_goes_on_when_its_caller_goes_away", async () => {
    let release: (text: string) => void = () => undefined;
    mesh.say = () => new Promise((resolve) => (release = resolve));
    const request = task({ detached: true, search: { strategy: Strategy.STRATEGY_SINGLE } });
    const abort = new AbortController();
    const stream = service.client.run(request, { ...as("acme"), signal: abort.signal });
    await expect(async () => {
      for await (const { event } of stream) if (event?.$case === "node") abort.abort();
    }).rejects.toThrow();
    await waitUntil("the model is asked", () => mesh.generated.length === 1);
    release("42");
    expect(answerOf(await run(request)).text).toBe("42");
  });

  test("cancel_run_ends_it_and_one_that_has_ended_stays_as_it_is", async () => {
    mesh.say = (_, { signal }) => never(signal);
    const request = task();
    const running = failureOf((options) => collect(service.client.run(request, { ...as("acme"), ...options })));
    await waitUntil("the model is asked", () => mesh.generated.length > 0);
    const runId = await idOf(request);
    const cancelled = await service.client.cancelRun({ requestId: newRequestId(), runId }, as("acme"));
    expect(cancelled.run?.state).toBe(RunState.RUN_STATE_CANCELLED);
    expect(await running).toMatchObject({ code: Status.CANCELLED });
    await waitUntil("the models are cut off", () => mesh.underWay === 0);
    mesh.say = () => "42";
    const done = task();
    await run(done);
    const kept = await service.client.cancelRun({ requestId: newRequestId(), runId: await idOf(done) }, as("acme"));
    expect(kept.run?.state).toBe(RunState.RUN_STATE_ANSWERED);
  });
});

describe("runs as they are kept", () => {
  test("run_is_returned_with_its_answer_and_is_not_there_for_another_tenant", async () => {
    const request = task({ labels: { team: "a" } });
    const events = await run(request);
    const runId = await idOf(request);
    const { run: kept } = await service.client.getRun({ runId }, as("acme"));
    expect(kept).toMatchObject({
      state: RunState.RUN_STATE_ANSWERED, task: "What is 6 * 7?", taskType: "arithmetic", subject: "anna", labels: { team: "a" },
    });
    expect(kept?.answer).toMatchObject({ text: "42", score: 1, verdicts: [{ verifier: "numeric" }] });
    expect(kept?.sequence).toBe(events.at(-1)?.sequence);
    const failure = await failureOf((options) => service.client.getRun({ runId }, { ...as("globex"), ...options }));
    expect(failure).toMatchObject({ code: Status.NOT_FOUND, reason: "RESOURCE_NOT_FOUND" });
    const cancel = { requestId: newRequestId(), runId };
    expect(await failureOf((options) => service.client.cancelRun(cancel, { ...as("globex"), ...options }))).toMatchObject({ code: Status.NOT_FOUND });
  });

  test("pages_list_the_newest_first_without_texts_and_a_token_is_good_for_its_request", async () => {
    const ids: string[] = [];
    for (let index = 0; index < 5; index++) {
      const request = task({ taskType: "paged", search: { strategy: Strategy.STRATEGY_SINGLE } });
      await run(request, "lister");
      ids.unshift(await idOf(request));
    }
    const found: string[] = [];
    let pageToken = "";
    do {
      const page = await service.client.listRuns({ pageSize: 2, pageToken, taskType: "paged" }, as("lister"));
      expect(page.runs.every(({ answer }) => answer?.text === "" && answer.score === 1)).toBe(true);
      found.push(...page.runs.map(({ runId }) => runId));
      pageToken = page.nextPageToken;
    } while (pageToken !== "");
    expect([...found].sort()).toEqual([...ids].sort());
    const first = await service.client.listRuns({ pageSize: 2, taskType: "paged" }, as("lister"));
    const other = { pageSize: 2, pageToken: first.nextPageToken, taskType: "other" };
    expect(await failureOf((options) => service.client.listRuns(other, { ...as("lister"), ...options }))).toMatchObject({ reason: "PAGE_TOKEN_INVALID" });
    expect((await service.client.listRuns({}, as("nobody"))).runs).toEqual([]);
  });

  test("feedback_is_kept_and_reaches_those_who_learn", async () => {
    const request = task();
    await run(request);
    const runId = await idOf(request);
    const feedback = { requestId: newRequestId(), runId, reward: 0.25, comment: "meh", correction: "forty-two" };
    const { run: kept } = await service.client.recordFeedback(feedback, as("acme"));
    expect(kept?.reward).toBe(0.25);
    expect(mesh.rewards).toMatchObject([{ taskType: "arithmetic", reward: 0.25, arm: { value: "arm-direct" }, runId }]);
    expect(mesh.tree.feedback.at(-1)).toMatchObject({ nodeId: "node-1", reward: 0.25, comment: "meh" });
    expect(mesh.stored.some(({ text }) => text.includes("Right answer: forty-two"))).toBe(true);
    await service.client.recordFeedback(feedback, as("acme"));
    expect(mesh.rewards.length).toBe(1);
    const unknown = { ...feedback, requestId: newRequestId(), nodeId: "nobody" };
    expect(await failureOf((options) => service.client.recordFeedback(unknown, { ...as("acme"), ...options }))).toMatchObject({ code: Status.NOT_FOUND });
  });
});

function unavailable(): StatusError {
  return StatusError.of({ code: Status.UNAVAILABLE, reason: "MODEL_UNAVAILABLE", message: "not yet" });
}

function never(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
}

async function idOf({ requestId }: { requestId?: string | undefined }, tenant?: string): Promise<string> {
  const { Runs } = await import("./runs.js");
  for (const each of tenant === undefined ? ["acme", "lister"] : [tenant]) {
    const id = Runs.idOf(each, requestId ?? "");
    const { run: found } = await service.client.getRun({ runId: id }, as(each)).catch(() => ({ run: undefined }));
    if (found !== undefined) return id;
  }
  throw new Error(`no run of ${requestId}`);
}
