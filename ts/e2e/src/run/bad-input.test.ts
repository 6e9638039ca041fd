/** What the edge answers to requests that cannot be right. */
import { Verifier_Language } from "@uait/gen/uait/orchestrator/v1/verifier.js";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { until } from "../harness/network.js";
import { Mesh } from "../mesh/mesh.js";
import { ARITHMETIC, Asker, answered, ONE_ATTEMPT, type Request, type Told } from "./ask.js";
import { Gateway, signed } from "./keys.js";

const REVOKED_WITHIN_MS = 5_000;

let mesh: Mesh;
let asker: Asker;

beforeAll(async () => {
  mesh = await Mesh.open();
  asker = await Asker.alone(mesh);
});

afterAll(() => asker?.close());

async function runWith(key: string, request: Request = ARITHMETIC): Promise<Told> {
  const other = new Asker(mesh, key);
  try {
    return await other.run(request);
  } finally {
    other.close();
  }
}

describe("requests", () => {
  test.each<[string, Request, string, string]>([
    ["an_empty_task", { task: "" }, "INVALID_ARGUMENT", "FIELD_INVALID"],
    ["a_negative_budget", { task: "x", budget: { maxNodes: -1 } }, "INVALID_ARGUMENT", "FIELD_INVALID"],
    [
      "a_malformed_json_schema",
      { task: "x", verifiers: [{ kind: { $case: "jsonSchema", value: { schema: '{"type": 7}' } } }] },
      "INVALID_ARGUMENT",
      "EXPRESSION_INVALID",
    ],
    [
      "a_malformed_regex",
      { task: "x", verifiers: [{ kind: { $case: "regex", value: { pattern: "(" } } }] },
      "INVALID_ARGUMENT",
      "EXPRESSION_INVALID",
    ],
  ])("run_with_%s_is_refused", async (_, request, code, reason) => {
    const told = await asker.run(request);
    expect([told.code, told.info?.reason]).toEqual([code, reason]);
    expect(told.events).toEqual([]);
  });

  test("run_with_a_task_of_10_mb_is_refused", async () => {
    const told = await asker.run({ task: "x".repeat(10_000_000) });
    expect(["INVALID_ARGUMENT", "RESOURCE_EXHAUSTED"]).toContain(told.code);
  });

  test("run_with_an_unknown_model_is_refused", async () => {
    const told = await asker.run({ ...ARITHMETIC, models: ["no-such-model"] });
    expect(["INVALID_ARGUMENT", "NOT_FOUND"]).toContain(told.code);
    expect(told.message).toContain("no-such-model");
  });

  test("run_with_invalid_utf8_is_refused", async () => {
    // Field 2 (task) with two bytes that no UTF-8 text holds, as a gRPC frame over gRPC-web.
    const message = Uint8Array.of(0x0a, 1, 0x61, 0x12, 2, 0xc3, 0x28);
    const response = await fetch(`http://${mesh.edge}/uait.orchestrator.v1.OrchestratorService/Run`, {
      method: "POST",
      headers: { "content-type": "application/grpc-web+proto", "x-grpc-web": "1", ...mesh.authorization },
      body: Uint8Array.of(0, 0, 0, 0, message.length, ...message),
    });
    const text = `${response.headers.get("grpc-status") ?? ""} ${await response.text()}`;
    expect(text).toMatch(/^(3|13) |grpc-status: ?(3|13)/);
  });
});

describe("verifiers", () => {
  test("regex_that_would_take_for_ever_elsewhere_is_decided_at_once", async () => {
    const verifiers: Request["verifiers"] = [{ kind: { $case: "regex", value: { pattern: "(a+)+$" } } }];
    const answer = answered(await asker.run({ ...ONE_ATTEMPT, verifiers }));
    expect(answer.verdicts[0]?.failure).toBeUndefined();
  });

  const program = (source: string): Request => ({
    ...ONE_ATTEMPT,
    verifiers: [
      {
        kind: {
          $case: "program",
          value: {
            language: Verifier_Language.LANGUAGE_PYTHON,
            source,
            timeout: { seconds: 2n, nanos: 0 },
          },
        },
      },
    ],
  });

  test("program_that_loops_is_ended_and_scores_0", async () => {
    const answer = answered(await asker.run(program("while True:\n    pass\n")));
    expect(answer.score).toBe(0);
  });

  test("program_that_reads_files_finds_none", async () => {
    const source = 'try:\n    open("/etc/passwd").read()\n    print(1)\nexcept Exception:\n    print(0)\n';
    expect(answered(await asker.run(program(source))).score).toBe(0);
  });

  test("program_that_judges_is_believed", async () => {
    const source = "import sys\ntext = sys.stdin.read()\nprint(0.25 if len(text) > 0 else 0)\n";
    expect(answered(await asker.run(program(source))).score).toBe(0.25);
  });
});

describe("keys", () => {
  test("run_without_a_key_is_unauthenticated", async () => {
    expect((await runWith("")).code).toBe("UNAUTHENTICATED");
  });

  test.each<[string, Parameters<typeof signed>[1]]>([
    ["an_expired_key", { lifetime: -120 }],
    ["a_foreign_key", { foreign: true }],
  ])("run_with_%s_is_unauthenticated", async (_, claims) => {
    expect((await runWith(await signed(mesh, claims))).code).toBe("UNAUTHENTICATED");
  });

  test("run_with_a_key_without_the_scope_is_denied", async () => {
    expect((await runWith(await signed(mesh, { scope: "orchestrator.read" }))).code).toBe("PERMISSION_DENIED");
  });

  test("run_with_a_revoked_key_is_unauthenticated_within_5_s", async () => {
    const gateway = new Gateway(mesh);
    try {
      const { id, token } = await gateway.issue(["orchestrator.write"]);
      await until(async () => (await runWith(token, ONE_ATTEMPT)).code === "OK", {
        what: "the issued key opens",
        timeoutMs: REVOKED_WITHIN_MS,
        everyMs: 250,
      });
      await gateway.revoke(id);
      await until(async () => (await runWith(token, { task: "" })).code === "UNAUTHENTICATED", {
        what: "the revoked key is refused",
        timeoutMs: REVOKED_WITHIN_MS,
        everyMs: 100,
      });
    } finally {
      gateway.close();
    }
  });
});
