import { Detail } from "@uait/gen/uait/orchestrator/v1/orchestrator.js";
import { Status } from "@uait/kit";
import { waitUntil } from "@uait/kit/testing";
import { describe, expect, test } from "vitest";
import { idOf, never, Scene } from "./testing/scene.js";
import { answerOf, as, casesOf, numeric, refusal, task, valuesOf } from "./testing/service.js";
import { BudgetLimit, Strategy } from "./vocabulary.js";

const scene = new Scene();

describe("a run", () => {
  test("every_event_of_the_contract_comes_in_order_with_rising_numbers", async () => {
    scene.mesh.say = (_, { signal: _signal }) => (scene.mesh.generated.length === 1 ? "is it 41" : "it is 42");
    const events = await scene.run(task({ search: { parallel: 1, seed: 7n }, context: {} }));
    expect(casesOf(events).filter((name) => name !== "context")).toEqual([
      "started",
      "agents",
      "node",
      "token",
      "token",
      "token",
      "score",
      "node",
      "token",
      "token",
      "token",
      "score",
      "answer",
    ]);
    const numbers = events.map(({ sequence }) => sequence);
    expect(numbers).toEqual([...numbers].sort((a, b) => Number(a - b)));
    expect(new Set(numbers).size).toBe(numbers.length);
    expect(numbers[0]).toBe(1n);
    const answer = answerOf(events);
    expect(answer).toMatchObject({
      text: "it is 42",
      score: 1,
      nodes: 2,
      degraded: false,
      endedBy: 0,
      model: "default-model",
    });
    expect(answer.usage).toMatchObject({ inputTokens: 10n, outputTokens: 6n, calls: 2, costMicroUsd: 6n });
    expect(answer.verdicts).toMatchObject([{ verifier: "numeric", score: 1 }]);
    expect(answer.citations).toMatchObject([{ title: "a memory" }]);
    expect(valuesOf(events, "context")).toMatchObject([{ tokens: 4 }]);
    expect(valuesOf(events, "score").map(({ best, nodes }) => [best, nodes])).toEqual([
      [true, 1],
      [true, 2],
    ]);
  });

  test("search_of_the_mesh_is_asked_and_told_and_refinements_show_the_attempt_and_its_verdicts", async () => {
    scene.mesh.say = () => "I say 41";
    const events = await scene.run(task({ search: { parallel: 1 }, budget: { maxNodes: 4 } }));
    expect(valuesOf(events, "started")[0]?.searchId).toBe("search-1");
    expect(valuesOf(events, "node").map(({ parentId, depth }) => [parentId, depth])).toEqual([
      ["root", 1],
      ["ask-1", 2],
      ["root", 1],
      ["ask-1", 2],
    ]);
    expect(scene.mesh.tree.nodes.length).toBe(4);
    const texts = (scene.mesh.generated[1]?.messages ?? []).map(({ parts }) => parts[0]?.content?.value);
    expect(texts[1]).toBe("I say 41");
    expect(texts[2]).toContain("scores 0 out of 1");
    expect(texts[2]).toContain("41 is not the number expected");
    expect(texts.join()).not.toContain("42");
  });

  test("agents_of_the_selector_make_attempts_and_hear_how_each_did", async () => {
    scene.mesh.agents = ["direct", "reasoner", "dspy"];
    scene.mesh.say = ({ attribution }) => (attribution?.agent === "reasoner" ? "Six sevens.\nAnswer: 40" : "41");
    const request = task({
      search: { parallel: 1, strategy: Strategy.STRATEGY_BEST_OF },
      taskType: "sums",
      budget: { maxNodes: 3 },
    });
    const events = await scene.run(request);
    expect(valuesOf(events, "score").map(({ text, model }) => [text, model])).toEqual([
      ["41", "default-model"],
      ["40", "default-model"],
      ["42", "dspy-model"],
    ]);
    expect(answerOf(events)).toMatchObject({ agent: "dspy", text: "42" });
    expect(scene.mesh.generated.map(({ attribution }) => attribution?.taskType)).toEqual(["sums", "sums"]);
    await waitUntil("all outcomes are recorded", () => scene.mesh.outcomes.length === 3);
    expect(scene.mesh.outcomes.map(({ agent, armId, outcome }) => [agent, armId, outcome?.value]).sort()).toEqual([
      ["direct", "arm-direct", 0],
      ["dspy", "arm-dspy", 1],
      ["reasoner", "arm-reasoner", 0],
    ]);
    scene.mesh.agents = ["direct", "reasoner"];
  });

  test("several_attempts_are_under_way_at_once", async () => {
    let most = 0;
    let release: () => void = () => undefined;
    const all = new Promise<void>((resolve) => {
      release = resolve;
    });
    scene.mesh.say = async () => {
      most = Math.max(most, scene.mesh.underWay);
      if (scene.mesh.underWay === 4) release();
      await all;
      return "41";
    };
    await scene.run(task({ search: { parallel: 4, strategy: Strategy.STRATEGY_BEST_OF }, budget: { maxNodes: 8 } }));
    expect(most).toBe(4);
  });

  test("same_seed_gives_each_attempt_the_same_seed_of_its_own", async () => {
    scene.mesh.say = () => "41";
    const seeds: (bigint | undefined)[][] = [];
    for (const seed of [7n, 7n, 8n]) {
      scene.mesh.generated.length = 0;
      await scene.run(task({ search: { seed, parallel: 1 }, budget: { maxNodes: 3 } }));
      seeds.push(scene.mesh.generated.map(({ sampling }) => sampling?.seed));
    }
    expect(seeds[0]).toEqual(seeds[1]);
    expect(new Set([...(seeds[0] ?? []), ...(seeds[2] ?? [])]).size).toBe(6);
  });

  test("detail_answer_tells_the_start_and_the_answer_only", async () => {
    const events = await scene.run(task({ detail: Detail.DETAIL_ANSWER }));
    expect(casesOf(events)).toEqual(["started", "answer"]);
  });

  test("forgotten_run_leaves_no_text_in_the_search_nor_among_the_runs", async () => {
    await scene.run(task());
    expect(Buffer.from(scene.mesh.tree.nodes[0]?.state ?? []).toString()).toBe("42");
    const request = task({ forgotten: true });
    expect(answerOf(await scene.run(request)).text).toBe("42");
    expect(scene.mesh.tree.nodes[0]?.state.length).toBe(0);
    const { run } = await scene.service.client.getRun({ runId: idOf(request) }, as("acme"));
    expect(run).toMatchObject({ task: "", answer: { text: "", score: 1, verdicts: [] } });
  });

  test("answer_is_stored_as_context_unless_it_is_bad_or_the_run_forgotten", async () => {
    await scene.run(task());
    await waitUntil("it is stored", () => scene.mesh.stored.length === 1);
    expect(scene.mesh.stored[0]).toMatchObject({ kind: 2, text: "Task: What is 6 * 7?\nAnswer: 42" });
    scene.mesh.say = () => "41";
    const bad = task({ budget: { maxNodes: 1 } });
    await scene.run(bad);
    scene.mesh.say = () => "42";
    const forgotten = task({ forgotten: true });
    await scene.run(forgotten);
    // A third run whose answer is stored shows that those before it have been through.
    await scene.run(task({ task: "What is 6 times 7?" }));
    await waitUntil("the last is stored", () => scene.mesh.stored.some(({ text }) => text.includes("times")));
    expect(scene.mesh.stored.length).toBe(2);
  });
});

describe("strategies and budgets", () => {
  test("single_makes_one_attempt_without_a_search", async () => {
    scene.mesh.say = () => "41";
    const events = await scene.run(task({ search: { strategy: Strategy.STRATEGY_SINGLE } }));
    expect(valuesOf(events, "started")[0]?.searchId).toBe("");
    expect(answerOf(events)).toMatchObject({ nodes: 1, score: 0, endedBy: BudgetLimit.BUDGET_LIMIT_NODES });
  });

  test("nodes_are_16_where_nothing_is_said", async () => {
    scene.mesh.say = () => "41";
    const events = await scene.run(task());
    expect(valuesOf(events, "started")[0]?.budget).toMatchObject({
      maxNodes: 16,
      maxTokens: 100_000n,
      maxCostMicroUsd: 1_000_000n,
      maxWallTime: { seconds: 300n },
    });
    expect(answerOf(events)).toMatchObject({ nodes: 16, endedBy: BudgetLimit.BUDGET_LIMIT_NODES });
  });

  test("tokens_end_a_run_and_bound_each_attempt", async () => {
    scene.mesh.say = () => "one two three four";
    const events = await scene.run(task({ budget: { maxTokens: 20n }, search: { parallel: 1 } }));
    expect(answerOf(events).endedBy).toBe(BudgetLimit.BUDGET_LIMIT_TOKENS);
    expect(scene.mesh.generated.map(({ sampling }) => sampling?.maxOutputTokens)).toEqual([20, 11, 2]);
  });

  test("cost_ends_a_run", async () => {
    scene.mesh.say = () => "41";
    const events = await scene.run(task({ budget: { maxCostMicroUsd: 5n }, search: { parallel: 1 } }));
    expect(answerOf(events)).toMatchObject({ nodes: 2, endedBy: BudgetLimit.BUDGET_LIMIT_COST });
  });

  test("time_ends_a_run_with_the_best_answer_so_far", async () => {
    scene.mesh.say = (_, { signal }) => (scene.mesh.generated.length === 1 ? "41" : never(signal));
    const events = await scene.run(task({ budget: { maxWallTime: { seconds: 3n, nanos: 0 } } }));
    expect(answerOf(events)).toMatchObject({ text: "41", endedBy: BudgetLimit.BUDGET_LIMIT_WALL_TIME });
    await waitUntil("the others are cut off", () => scene.mesh.underWay === 0);
    expect(scene.mesh.cut).toBeGreaterThan(0);
  });

  test("time_that_ends_within_the_first_attempt_answers_with_what_there_is_of_it", async () => {
    scene.mesh.say = async function* (_, { signal }) {
      yield "forty";
      await never(signal);
    };
    const events = await scene.run(
      task({ budget: { maxWallTime: { seconds: 3n, nanos: 0 } }, search: { parallel: 1 } }),
    );
    expect(answerOf(events)).toMatchObject({ text: "forty", nodes: 1, endedBy: BudgetLimit.BUDGET_LIMIT_WALL_TIME });
  });

  test("time_that_ends_before_any_text_is_a_spent_budget", async () => {
    scene.mesh.say = (_, { signal }) => never(signal);
    const failure = await refusal(
      scene.service,
      task({ budget: { maxWallTime: { seconds: 0n, nanos: 100_000_000 } } }),
    );
    expect(failure).toMatchObject({
      code: Status.RESOURCE_EXHAUSTED,
      reason: "BUDGET_EXHAUSTED",
      metadata: { budget: "max_wall_time" },
    });
  });
});

describe("scores", () => {
  test("weighted_mean_of_the_verifiers_is_the_score", async () => {
    scene.mesh.say = () => "41";
    scene.mesh.judge = () => 0.5;
    const verifiers = [{ ...numeric(42), weight: 3, name: "right" }, { kind: { $case: "judge" as const, value: {} } }];
    const events = await scene.run(task({ verifiers, budget: { maxNodes: 1 } }));
    expect(answerOf(events)).toMatchObject({ score: 0.125 });
    expect(answerOf(events).verdicts.map(({ verifier, score }) => [verifier, score])).toEqual([
      ["right", 0],
      ["judge", 0.5],
    ]);
    expect(scene.mesh.predicted[0]?.inputs).toMatchObject({ task: "What is 6 * 7?", text: "41" });
    expect(answerOf(events).usage).toMatchObject({ calls: 2 });
  });

  test("programs_score", async () => {
    const source = "import sys\nprint(0.5 if '42' in sys.stdin.read() else 0)";
    const verifiers = [
      {
        kind: {
          $case: "program" as const,
          value: { language: 1 as const, source, timeout: { seconds: 20n, nanos: 0 } },
        },
      },
    ];
    const events = await scene.run(task({ verifiers, budget: { maxNodes: 1 } }));
    expect(answerOf(events).score).toBe(0.5);
  });

  test.each([
    ["loops", "while True: pass", "it was stopped after 300 ms"],
    ["reads_a_file", "print(open('/etc/passwd').read())", "FileNotFoundError"],
  ])("program_that_%s_scores_nothing", async (_, source, explanation) => {
    const value = { language: 1 as const, source, timeout: { seconds: 0n, nanos: 300_000_000 } };
    const events = await scene.run(
      task({ verifiers: [{ kind: { $case: "program", value } }], budget: { maxNodes: 1 } }),
    );
    expect(answerOf(events).score).toBe(0);
    expect(answerOf(events).verdicts[0]?.explanation).toContain(explanation);
  });

  test("agreement_is_scored_again_when_all_attempts_are_there", async () => {
    const said = ["41", "42", "42", "42"];
    scene.mesh.say = () => said[scene.mesh.generated.length - 1] ?? "";
    const verifiers = [{ kind: { $case: "agreement" as const, value: {} } }];
    const search = { strategy: Strategy.STRATEGY_BEST_OF, parallel: 1 };
    const events = await scene.run(task({ verifiers, search, budget: { maxNodes: 4 } }));
    expect(answerOf(events)).toMatchObject({ text: "42" });
    expect(answerOf(events).score).toBeCloseTo(2 / 3, 10);
  });

  test("schema_of_the_output_scores_where_no_verifier_is_named", async () => {
    scene.mesh.say = () => '{"a": 1}';
    const schema = '{"type":"object","required":["a","b"],"properties":{"a":{"type":"number"}}}';
    const events = await scene.run(
      task({ verifiers: [], output: { form: { $case: "jsonSchema", value: schema } }, budget: { maxNodes: 1 } }),
    );
    expect(answerOf(events)).toMatchObject({ score: 0.5, verdicts: [{ verifier: "json_schema" }] });
    expect(scene.mesh.generated[0]?.constraint?.form).toEqual({ $case: "jsonSchema", value: schema });
  });

  test("judge_scores_where_nothing_is_named_and_agreement_where_it_is_away", async () => {
    scene.mesh.judge = () => 0.75;
    const judged = await scene.run(task({ verifiers: [], budget: { maxNodes: 1 } }));
    expect(answerOf(judged)).toMatchObject({ score: 0.75, verdicts: [{ verifier: "judge", explanation: "judged" }] });
    scene.mesh.away.add("dspy");
    const agreed = await scene.run(
      task({ verifiers: [], budget: { maxNodes: 4 }, search: { strategy: Strategy.STRATEGY_BEST_OF } }),
    );
    expect(answerOf(agreed)).toMatchObject({ score: 1, degraded: true, verdicts: [{ verifier: "agreement" }] });
    expect(answerOf(agreed).degradations.map(({ dependency }) => dependency)).toEqual(["dspy"]);
  });

  test("judge_that_is_named_and_away_gives_way_to_agreement", async () => {
    scene.mesh.away.add("dspy");
    const verifiers = [{ kind: { $case: "judge", value: {} } }] as const;
    const events = await scene.run(task({ verifiers: [...verifiers], budget: { maxNodes: 2 } }));
    expect(answerOf(events)).toMatchObject({ degraded: true, verdicts: [{ verifier: "agreement" }] });
  });
});
