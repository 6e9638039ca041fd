import { Status } from "@uait/kit";
import { failureOf, waitUntil } from "@uait/kit/testing";
import { describe, expect, test } from "vitest";
import { idOf, never, Scene } from "./testing/scene.js";
import { answerOf, as, casesOf, collect, newRequestId, refusal, task } from "./testing/service.js";
import { RunState, Strategy } from "./vocabulary.js";

const scene = new Scene();

describe("joining and cancelling", () => {
  test("repeat_joins_the_run_that_is_under_way_and_both_get_its_answer", async () => {
    let release: (text: string) => void = () => undefined;
    scene.mesh.say = () => new Promise((resolve) => (release = resolve));
    const request = task({ search: { strategy: Strategy.STRATEGY_SINGLE } });
    const first = scene.run(request);
    await waitUntil("the model is asked", () => scene.mesh.generated.length === 1);
    const second = scene.run({ ...request, resumeAfter: 1n });
    await new Promise(setImmediate);
    release("42");
    const [all, rest] = await Promise.all([first, second]);
    expect(answerOf(all)).toEqual(answerOf(rest));
    expect(casesOf(rest)).not.toContain("started");
    expect(scene.mesh.generated.length).toBe(1);
    expect(answerOf(await scene.run({ ...request, resumeAfter: 3n }))).toEqual(answerOf(all));
  });

  test("same_request_id_with_another_task_is_refused", async () => {
    const request = task();
    await scene.run(request);
    const failure = await refusal(scene.service, { ...request, task: "What is 6 * 8?" });
    expect(failure).toMatchObject({ code: Status.INVALID_ARGUMENT, reason: "REQUEST_ID_REUSED" });
    expect(answerOf(await scene.run(request, "globex")).text).toBe("42");
  });

  test("caller_that_goes_away_cancels_the_run_down_to_the_model", async () => {
    scene.mesh.say = async function* (_, { signal }) {
      for (;;) {
        yield "word";
        await new Promise(setImmediate);
        signal.throwIfAborted();
      }
    };
    const request = task({ search: { parallel: 2 } });
    const abort = new AbortController();
    const stream = scene.service.client.run(request, { ...as("acme"), signal: abort.signal });
    await expect(async () => {
      for await (const { event } of stream) if (event?.$case === "token") abort.abort();
    }).rejects.toThrow();
    await waitUntil("the models are cut off", () => scene.mesh.underWay === 0);
    expect(scene.mesh.cut).toBe(2);
    const runId = idOf(request);
    const stateOf = async () => (await scene.service.client.getRun({ runId }, as("acme"))).run?.state;
    await waitUntil("it is cancelled", async () => (await stateOf()) === RunState.RUN_STATE_CANCELLED);
  });

  test("detached_run_goes_on_when_its_caller_goes_away", async () => {
    let release: (text: string) => void = () => undefined;
    scene.mesh.say = () => new Promise((resolve) => (release = resolve));
    const request = task({ detached: true, search: { strategy: Strategy.STRATEGY_SINGLE } });
    const abort = new AbortController();
    const stream = scene.service.client.run(request, { ...as("acme"), signal: abort.signal });
    await expect(async () => {
      for await (const { event } of stream) if (event?.$case === "node") abort.abort();
    }).rejects.toThrow();
    await waitUntil("the model is asked", () => scene.mesh.generated.length === 1);
    release("42");
    expect(answerOf(await scene.run(request)).text).toBe("42");
  });

  test("cancel_run_ends_it_and_one_that_has_ended_stays_as_it_is", async () => {
    scene.mesh.say = (_, { signal }) => never(signal);
    const request = task();
    const running = failureOf((options) => collect(scene.service.client.run(request, { ...as("acme"), ...options })));
    await waitUntil("the model is asked", () => scene.mesh.generated.length > 0);
    const runId = idOf(request);
    const cancelled = await scene.service.client.cancelRun({ requestId: newRequestId(), runId }, as("acme"));
    expect(cancelled.run?.state).toBe(RunState.RUN_STATE_CANCELLED);
    expect(await running).toMatchObject({ code: Status.CANCELLED });
    await waitUntil("the models are cut off", () => scene.mesh.underWay === 0);
    scene.mesh.say = () => "42";
    const done = task();
    await scene.run(done);
    const kept = await scene.service.client.cancelRun({ requestId: newRequestId(), runId: idOf(done) }, as("acme"));
    expect(kept.run?.state).toBe(RunState.RUN_STATE_ANSWERED);
  });
});

describe("runs as they are kept", () => {
  test("run_is_returned_with_its_answer_and_is_not_there_for_another_tenant", async () => {
    const request = task({ labels: { team: "a" } });
    const events = await scene.run(request);
    const runId = idOf(request);
    const { run: kept } = await scene.service.client.getRun({ runId }, as("acme"));
    expect(kept).toMatchObject({
      state: RunState.RUN_STATE_ANSWERED,
      task: "What is 6 * 7?",
      taskType: "arithmetic",
      subject: "anna",
      labels: { team: "a" },
    });
    expect(kept?.answer).toMatchObject({ text: "42", score: 1, verdicts: [{ verifier: "numeric" }] });
    expect(kept?.sequence).toBe(events.at(-1)?.sequence);
    const failure = await failureOf((options) =>
      scene.service.client.getRun({ runId }, { ...as("globex"), ...options }),
    );
    expect(failure).toMatchObject({ code: Status.NOT_FOUND, reason: "RESOURCE_NOT_FOUND" });
    const cancel = { requestId: newRequestId(), runId };
    expect(
      await failureOf((options) => scene.service.client.cancelRun(cancel, { ...as("globex"), ...options })),
    ).toMatchObject({ code: Status.NOT_FOUND });
  });

  test("pages_list_the_newest_first_without_texts_and_a_token_is_good_for_its_request", async () => {
    const ids: string[] = [];
    for (let index = 0; index < 5; index++) {
      const request = task({ taskType: "paged", search: { strategy: Strategy.STRATEGY_SINGLE } });
      await scene.run(request, "lister");
      ids.unshift(idOf(request, "lister"));
    }
    const found: string[] = [];
    let pageToken = "";
    do {
      const page = await scene.service.client.listRuns({ pageSize: 2, pageToken, taskType: "paged" }, as("lister"));
      expect(page.runs.every(({ answer }) => answer?.text === "" && answer.score === 1)).toBe(true);
      found.push(...page.runs.map(({ runId }) => runId));
      pageToken = page.nextPageToken;
    } while (pageToken !== "");
    expect([...found].sort()).toEqual([...ids].sort());
    const first = await scene.service.client.listRuns({ pageSize: 2, taskType: "paged" }, as("lister"));
    const other = { pageSize: 2, pageToken: first.nextPageToken, taskType: "other" };
    expect(
      await failureOf((options) => scene.service.client.listRuns(other, { ...as("lister"), ...options })),
    ).toMatchObject({ reason: "PAGE_TOKEN_INVALID" });
    expect((await scene.service.client.listRuns({}, as("nobody"))).runs).toEqual([]);
  });

  test("feedback_is_kept_and_reaches_those_who_learn", async () => {
    const request = task();
    await scene.run(request);
    const runId = idOf(request);
    const feedback = { requestId: newRequestId(), runId, reward: 0.25, comment: "meh", correction: "forty-two" };
    const { run: kept } = await scene.service.client.recordFeedback(feedback, as("acme"));
    expect(kept?.reward).toBe(0.25);
    expect(scene.mesh.rewards).toMatchObject([
      { taskType: "arithmetic", reward: 0.25, arm: { value: "arm-direct" }, runId },
    ]);
    expect(scene.mesh.tree.feedback.at(-1)).toMatchObject({ nodeId: "node-1", reward: 0.25, comment: "meh" });
    expect(scene.mesh.stored.some(({ text }) => text.includes("Right answer: forty-two"))).toBe(true);
    await scene.service.client.recordFeedback(feedback, as("acme"));
    expect(scene.mesh.rewards.length).toBe(1);
    const unknown = { ...feedback, requestId: newRequestId(), nodeId: "nobody" };
    expect(
      await failureOf((options) => scene.service.client.recordFeedback(unknown, { ...as("acme"), ...options })),
    ).toMatchObject({ code: Status.NOT_FOUND });
  });
});
