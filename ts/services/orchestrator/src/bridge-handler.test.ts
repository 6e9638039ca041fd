import type { AbMctsBridgeServiceOrchestrateResponse as Told } from "@uait/gen/uait/orchestrator/v1/ab_mcts_bridge.js";
import { Status } from "@uait/kit";
import { failureOf, waitUntil } from "@uait/kit/testing";
import { describe, expect, test } from "vitest";
import { never, Scene } from "./testing/scene.js";
import { as, newRequestId, numeric } from "./testing/service.js";

const scene = new Scene();

type Request = Parameters<typeof scene.service.bridge.orchestrate>[0];

const search = (more: Request = {}): Request => ({
  requestId: newRequestId(),
  prompt: "What is 6 * 7?",
  spec: { actions: [{ name: "a" }, { name: "b" }], budget: { maxNodes: 4 }, seed: 1n },
  actions: [
    { name: "a", model: "model-a", system: "Be brief." },
    { name: "b", model: "model-b" },
  ],
  verifiers: [numeric(42)],
  parallel: 1,
  ...more,
});

async function run(request: Request): Promise<Told[]> {
  const told: Told[] = [];
  for await (const event of scene.service.bridge.orchestrate(request, as("acme"))) told.push(event);
  return told;
}

const refusal = (request: Request) =>
  failureOf(async (options) => {
    for await (const _ of scene.service.bridge.orchestrate(request, { ...as("acme"), ...options }));
  });

describe("a search in its caller's hands", () => {
  test("tree_is_streamed_and_ends_with_the_search_and_the_best_text", async () => {
    scene.mesh.say = () => "41";
    const told = await run(search());
    expect(told.map(({ event }) => event?.$case)).toEqual([
      ...["node", "score", "node", "score", "node", "score", "node", "score"],
      "ended",
    ]);
    expect(told.map(({ sequence }) => Number(sequence))).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9]);
    const last = told.at(-1);
    expect(last?.searchId).toBe("search-1");
    expect(last?.event).toMatchObject({ value: { text: "41", search: { nodes: 4, best: { score: 0 } } } });
    expect(scene.mesh.generated.map(({ route }) => route?.target?.value)).toEqual([
      ...["model-a", "model-b", "model-a", "model-b"],
    ]);
    expect(scene.mesh.generated[0]?.messages[0]?.parts[0]?.content?.value).toBe("Be brief.");
    expect(scene.mesh.enriched.length + scene.mesh.selected.length + scene.mesh.outcomes.length).toBe(0);
  });

  test("refinements_are_asked_for_in_the_callers_words", async () => {
    scene.mesh.say = () => "41";
    await run(search({ refinement: "Mend {attempt} because {verdicts}" }));
    const asked = scene.mesh.generated[1]?.messages.at(-1)?.parts[0]?.content?.value;
    expect(asked).toBe("Mend 41 because - numeric: 0, 41 is not the number expected");
  });

  test("repeat_joins_the_search_and_another_request_with_its_id_is_refused", async () => {
    const request = search();
    const first = await run(request);
    expect(await run({ ...request, resumeAfter: 2n })).toEqual(first.slice(2));
    expect(await refusal({ ...request, prompt: "another" })).toMatchObject({ reason: "REQUEST_ID_REUSED" });
  });

  test("actions_that_differ_from_the_searchs_are_a_conflict", async () => {
    const failure = await refusal(search({ actions: [{ name: "c", model: "m" }] }));
    expect(failure).toMatchObject({ code: Status.INVALID_ARGUMENT, reason: "VALUE_CONFLICT" });
  });

  test("search_that_is_away_fails_with_its_status", async () => {
    scene.mesh.away.add("ab-mcts");
    expect(await refusal(search())).toMatchObject({ code: Status.UNAVAILABLE });
  });

  test("caller_that_goes_away_cancels_it_down_to_the_model", async () => {
    scene.mesh.say = (_, { signal }) => never(signal);
    const abort = new AbortController();
    const stream = scene.service.bridge.orchestrate(search(), { ...as("acme"), signal: abort.signal });
    await expect(async () => {
      for await (const _ of stream) abort.abort();
    }).rejects.toThrow();
    await waitUntil("the model is cut off", () => scene.mesh.underWay === 0);
  });
});

describe("orchestration by programs", () => {
  test("every_rpc_says_why_it_is_not_there", async () => {
    const { dspy } = scene.service;
    const requestId = newRequestId();
    const calls = [
      failureOf((options) => dspy.orchestrate({ requestId, task: "x" }, { ...as("acme"), ...options })),
      failureOf((options) => dspy.extractKnowledge({ requestId, text: "x" }, { ...as("acme"), ...options })),
      failureOf((options) => dspy.coordinateAgents({ requestId, task: "x" }, { ...as("acme"), ...options })),
      failureOf((options) =>
        dspy.optimizePrompt(
          { requestId, prompt: "x", examples: [{ input: "a" }, { input: "b" }], metric: numeric(1) },
          { ...as("acme"), ...options },
        ),
      ),
    ];
    for (const failure of await Promise.all(calls)) {
      expect(failure).toMatchObject({ code: Status.UNIMPLEMENTED, reason: "NOT_IMPLEMENTED" });
      expect(failure.metadata["what"]).toContain("DspyOrchestratorService.");
    }
  });
});
