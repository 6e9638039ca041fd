import { describe, expect, test } from "vitest";
import { fingerprintOf, Idempotency, type IdempotencyOptions, type WorkContext } from "./idempotency.js";
import { Status, StatusError } from "./status.js";

const RPC = "uait.test.v1.TestService/Do";
const NEVER = new AbortController().signal;
const SPAN = { traceId: "0".repeat(32), spanId: "0".repeat(16), traceFlags: 0 };

interface Scene {
  readonly once: Idempotency;
  /** What was done, in order. */
  readonly done: string[];
  nowMs: number;
}

function scene(options: Partial<IdempotencyOptions> = {}): Scene {
  const made: Scene = {
    once: new Idempotency({ now: () => made.nowMs, ...options }),
    done: [],
    nowMs: 0,
  };
  return made;
}

const from = (tenant = "acme", signal: AbortSignal = NEVER): WorkContext => ({
  identity: { tenant, subject: "user:1", scopes: [] },
  deadlineMs: undefined,
  signal,
  span: SPAN,
});

function ask(at: Scene, request: { readonly requestId: string; readonly text?: string }, by = from(), rpc = RPC) {
  return at.once.run({ rpc, request, from: by }, async () => {
    at.done.push(request.requestId);
    return { text: `${request.text ?? ""}${at.done.length}` };
  });
}

const failure = (code: Exclude<Status, typeof Status.OK>) =>
  StatusError.of({ code, reason: "INTERNAL", message: Status[code] ?? "" });

/** Work that ends when it is told to. */
function handle() {
  let resolve: (answer: string) => void = () => undefined;
  let reject: (error: unknown) => void = () => undefined;
  const promise = new Promise<string>((...settle) => {
    [resolve, reject] = settle;
  });
  const signals: AbortSignal[] = [];
  const work = ({ signal }: WorkContext) => {
    signals.push(signal);
    signal.addEventListener("abort", () => reject(signal.reason));
    return promise;
  };
  return { work, resolve, reject, signals };
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

describe("repeat", () => {
  test("repeat_of_a_request_returns_the_first_answer_and_does_nothing", async () => {
    const at = scene();
    const first = await ask(at, { requestId: "r", text: "x" });
    expect(await ask(at, { requestId: "r", text: "x" })).toBe(first);
    expect(at.done).toEqual(["r"]);
  });

  test("repeat_with_another_request_is_refused_and_the_first_stays", async () => {
    const at = scene();
    await ask(at, { requestId: "r", text: "x" });
    await expect(ask(at, { requestId: "r", text: "y" })).rejects.toMatchObject({
      code: Status.INVALID_ARGUMENT,
      reason: "REQUEST_ID_REUSED",
      metadata: { request_id: "r" },
    });
    expect(await ask(at, { requestId: "r", text: "x" })).toEqual({ text: "x1" });
  });

  test("id_of_another_tenant_or_rpc_is_another_id", async () => {
    const at = scene();
    await ask(at, { requestId: "r", text: "x" });
    await ask(at, { requestId: "r", text: "y" }, from("globex"));
    await ask(at, { requestId: "r", text: "z" }, from(), `${RPC}Else`);
    expect(at.done.length).toBe(3);
  });

  test("repeat_while_the_work_is_under_way_joins_it", async () => {
    const at = scene();
    const { work, resolve, signals } = handle();
    const call = { rpc: RPC, request: { requestId: "r" }, from: from() };
    const both = Promise.all([at.once.run(call, work), at.once.run(call, work)]);
    await turn();
    resolve("done");
    expect(await both).toEqual(["done", "done"]);
    expect(signals.length).toBe(1);
  });

  test("answer_past_its_time_is_forgotten", async () => {
    const at = scene({ ttlMs: 100 });
    await ask(at, { requestId: "r" });
    at.nowMs = 99;
    await ask(at, { requestId: "r" });
    expect(at.done.length).toBe(1);
    at.nowMs = 100;
    await ask(at, { requestId: "r" });
    expect(at.done.length).toBe(2);
  });
});

describe("failure", () => {
  const failing = async (at: Scene, code: Exclude<Status, typeof Status.OK>) => {
    const call = { rpc: RPC, request: { requestId: "r" }, from: from() };
    const work = async () => {
      at.done.push("r");
      throw failure(code);
    };
    await expect(at.once.run(call, work)).rejects.toMatchObject({ code });
  };

  test.for([
    Status.UNAVAILABLE,
    Status.NOT_FOUND,
    Status.INTERNAL,
    Status.RESOURCE_EXHAUSTED,
    Status.CANCELLED,
  ] as const)("failure_%d_is_not_remembered", async (code) => {
    const at = scene();
    await failing(at, code);
    expect(await ask(at, { requestId: "r" })).toEqual({ text: "2" });
  });

  test.for([Status.INVALID_ARGUMENT, Status.ALREADY_EXISTS, Status.ABORTED] as const)(
    "failure_%d_is_final_and_remembered",
    async (code) => {
      const at = scene();
      await failing(at, code);
      await expect(ask(at, { requestId: "r" })).rejects.toMatchObject({ code });
      expect(at.done.length).toBe(1);
    },
  );

  test("error_of_the_service_is_final_by_its_map", async () => {
    const at = scene({ errors: (error) => (error instanceof RangeError ? failure(Status.ABORTED) : undefined) });
    const call = { rpc: RPC, request: { requestId: "r" }, from: from() };
    const work = async () => {
      at.done.push("r");
      throw new RangeError("changed");
    };
    await expect(at.once.run(call, work)).rejects.toThrow(RangeError);
    await expect(at.once.run(call, work)).rejects.toThrow(RangeError);
    expect(at.done.length).toBe(1);
  });
});

describe("caller that goes", () => {
  const scenario = () => ({ at: scene(), ...handle(), first: new AbortController(), second: new AbortController() });
  const call = (signal: AbortSignal, detached = false) => ({
    rpc: RPC,
    request: { requestId: "r" },
    from: from("acme", signal),
    detached,
  });

  test("last_caller_gone_cancels_the_work_and_a_repeat_begins_anew", async () => {
    const { at, work, first, signals } = scenario();
    const gone = at.once.run(call(first.signal), work);
    await turn();
    first.abort();
    await expect(gone).rejects.toMatchObject({ code: Status.CANCELLED });
    expect(signals.map(({ aborted }) => aborted)).toEqual([true]);
    await turn();
    expect(await ask(at, { requestId: "r" })).toEqual({ text: "1" });
  });

  test("first_caller_gone_leaves_the_work_to_the_second", async () => {
    const { at, work, resolve, first, second, signals } = scenario();
    const gone = at.once.run(call(first.signal), work);
    const stays = at.once.run(call(second.signal), work);
    await turn();
    first.abort();
    await expect(gone).rejects.toMatchObject({ code: Status.CANCELLED });
    expect(signals.map(({ aborted }) => aborted)).toEqual([false]);
    resolve("done");
    expect(await stays).toBe("done");
  });

  test("detached_work_goes_on_without_callers_and_a_repeat_gets_its_answer", async () => {
    const { at, work, resolve, first, second } = scenario();
    const gone = at.once.run(call(first.signal, true), work);
    await turn();
    first.abort();
    await expect(gone).rejects.toMatchObject({ code: Status.CANCELLED });
    const repeat = at.once.run(call(second.signal, true), work);
    resolve("done");
    expect(await repeat).toBe("done");
  });

  test("work_that_ran_out_of_its_first_callers_time_is_done_again_for_the_second", async () => {
    const { at, work, reject, first, second } = scenario();
    const late = at.once.run(call(first.signal), work);
    const joined = at.once.run(call(second.signal), async () => "again");
    await turn();
    reject(failure(Status.DEADLINE_EXCEEDED));
    await expect(late).rejects.toMatchObject({ code: Status.DEADLINE_EXCEEDED });
    expect(await joined).toBe("again");
  });

  test("caller_gone_before_it_asks_begins_nothing", async () => {
    const { at, work, first, signals } = scenario();
    first.abort();
    await expect(at.once.run(call(first.signal), work)).rejects.toThrow();
    await turn();
    expect(signals).toEqual([]);
  });
});

describe("memory", () => {
  test("answers_past_the_capacity_push_out_the_oldest", async () => {
    const at = scene({ capacity: 2 });
    for (const requestId of ["a", "b", "c"]) await ask(at, { requestId });
    await ask(at, { requestId: "c" });
    await ask(at, { requestId: "b" });
    expect(at.done).toEqual(["a", "b", "c"]);
    await ask(at, { requestId: "a" });
    expect(at.done).toEqual(["a", "b", "c", "a"]);
  });

  test("answers_past_the_bytes_push_out_the_oldest_and_a_larger_one_is_not_kept", async () => {
    const at = scene({ capacityBytes: 1000 });
    const text = (length: number) => "x".repeat(length);
    await ask(at, { requestId: "a", text: text(600) });
    await ask(at, { requestId: "b", text: text(600) });
    await ask(at, { requestId: "b", text: text(600) });
    expect(at.done).toEqual(["a", "b"]);
    await ask(at, { requestId: "a", text: text(600) });
    expect(at.done).toEqual(["a", "b", "a"]);
    await ask(at, { requestId: "c", text: text(2000) });
    await ask(at, { requestId: "c", text: text(2000) });
    expect(at.done).toEqual(["a", "b", "a", "c", "c"]);
  });
});

describe("fingerprint", () => {
  test("order_of_maps_and_absent_fields_change_nothing", () => {
    expect(fingerprintOf({ a: 1, m: { x: "1", y: "2" }, gone: undefined })).toBe(
      fingerprintOf({ m: { y: "2", x: "1" }, a: 1 }),
    );
    expect(
      fingerprintOf(
        new Map([
          ["a", 1n],
          ["b", 2n],
        ]),
      ),
    ).toBe(
      fingerprintOf(
        new Map([
          ["b", 2n],
          ["a", 1n],
        ]),
      ),
    );
  });

  test.for([
    [{ a: "1" }, { a: 1 }],
    [{ a: 1 }, { a: 1n }],
    [{ a: ["b", "c"] }, { a: ["bc"] }],
    [{ a: "" }, { b: "" }],
    [{ a: new Uint8Array([1]) }, { a: new Uint8Array([1, 0]) }],
    [{ a: new Date(1) }, { a: new Date(2) }],
    [{ a: 0 }, { a: -0 }],
    [{ a: { b: 1 }, c: 2 }, { a: { b: 1, c: 2 } }],
  ])("messages_that_differ_have_different_ones %#", ([one, other]) => {
    expect(fingerprintOf(one)).not.toBe(fingerprintOf(other));
  });
});
