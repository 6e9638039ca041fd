import { existsSync } from "node:fs";
import { createServer } from "node:net";
import { afterAll, describe, expect, test } from "vitest";
import type { Program } from "../verifiers/verifier.js";
import { Confinement } from "./confinement.js";

const MIB = 1024 * 1024;
const never = new AbortController().signal;
const confinement = new Confinement({ workers: 2 });

afterAll(() => confinement.close());

function program(language: Program["language"], source: string, more: Partial<Program> = {}): Program {
  return { kind: "program", language, source, timeoutMs: 20_000, memoryBytes: 64 * MIB, ...more };
}

const run = (given: Program, text = "") => confinement.check(given, text, never);

describe("python", () => {
  test("program_reads_the_text_and_its_last_line_is_the_score", async () => {
    const source = "import sys, json\nvalue = json.loads(sys.stdin.read())\nprint('seen')\nprint(value['score'])";
    expect(await run(program("python", source), '{"score": 0.25}')).toEqual({ score: 0.25, explanation: "seen" });
  });

  test("standard_library_is_there", async () => {
    const source =
      "import re, math, statistics, datetime, collections, decimal, fractions, itertools\nprint(statistics.mean([0, 1]))";
    expect((await run(program("python", source))).score).toBe(0.5);
  });

  test("program_without_a_number_scores_by_its_exit_code", async () => {
    expect((await run(program("python", "assert True"))).score).toBe(1);
    const failed = await run(program("python", "assert 1 + 1 == 3, 'no'"));
    expect(failed).toEqual({ score: 0, explanation: "AssertionError: no" });
    expect((await run(program("python", "import sys; sys.exit(3)"))).score).toBe(0);
  });

  test.each([
    ["a_file", "print(open('/etc/passwd').read())", "FileNotFoundError"],
    ["a_new_file", "open('/tmp/x', 'w').write('x')", "FileNotFoundError"],
    ["a_directory", "import os; print(os.listdir('/'))", "FileNotFoundError"],
    ["a_socket", "import socket; socket.create_connection(('127.0.0.1', PORT))", "Error"],
    ["a_process", "import subprocess; subprocess.run(['true'])", "OSError"],
    ["a_fork", "import os; os.fork()", "AttributeError"],
    ["native_code", "import ctypes", "ModuleNotFoundError"],
  ])("program_that_wants_%s_fails", async (_, source, error) => {
    const connections: unknown[] = [];
    const server = createServer((socket) => connections.push(socket));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as { port: number };
    const { score, explanation } = await run(program("python", source.replace("PORT", String(port))));
    server.close();
    expect(score).toBe(0);
    expect(explanation).toContain(error);
    expect(connections).toEqual([]);
    expect(existsSync("/tmp/x")).toBe(false);
  });

  test("program_sees_no_environment", async () => {
    expect((await run(program("python", "import os; print(len(os.environ))"))).score).toBe(0);
  });

  test("program_that_loops_is_stopped_at_its_limit", async () => {
    const { score, explanation } = await run(program("python", "while True: pass", { timeoutMs: 300 }));
    expect({ score, explanation }).toEqual({ score: 0, explanation: "it was stopped after 300 ms" });
  });

  test("program_that_sleeps_fails_at_once", async () => {
    expect(await run(program("python", "import time; time.sleep(3600)"))).toMatchObject({ score: 0 });
  });

  test("program_that_allocates_gets_no_more_than_its_memory", async () => {
    const source = "a = []\nwhile True: a.append(bytearray(1 << 20))";
    const { score, explanation } = await run(program("python", source, { memoryBytes: 8 * MIB }));
    expect(score).toBe(0);
    expect(explanation).toContain(`more than ${8 * MIB} bytes of memory`);
  });

  test("program_that_recurses_without_end_fails_alone", async () => {
    const { score } = await run(program("python", "def f(): return f()\nf()"));
    expect(score).toBe(0);
    expect((await run(program("python", "print(1)"))).score).toBe(1);
  });

  test("program_that_writes_without_end_is_stopped_and_keeps_no_output", async () => {
    const { explanation } = await run(program("python", "while True: print('x' * 1000)", { timeoutMs: 500 }));
    expect(explanation).toBe("it was stopped after 500 ms");
  });

  test("program_that_does_not_compile_is_refused_with_its_line", async () => {
    const failure = confinement.prepare(program("python", "x = 1\nif x\n  pass"), never);
    await expect(failure).rejects.toMatchObject({ kind: "program", position: "line 2" });
    await confinement.prepare(program("python", "while True: pass"), never);
  });
});

describe("javascript", () => {
  test("program_reads_the_text_and_its_last_line_is_the_score", async () => {
    const source = "const value = JSON.parse(std.in.readAsString()); console.log('seen', value); print(value.score)";
    expect(await run(program("javascript", source), '{"score": 0.25}')).toEqual({
      score: 0.25,
      explanation: 'seen {"score":0.25}',
    });
  });

  test("program_without_a_number_scores_by_its_exit_code", async () => {
    expect((await run(program("javascript", "1 + 1"))).score).toBe(1);
    expect((await run(program("javascript", "std.exit(0); print('never')"))).score).toBe(1);
    expect((await run(program("javascript", "std.exit(2)"))).score).toBe(0);
    expect(await run(program("javascript", "throw new Error('no')"))).toEqual({ score: 0, explanation: "Error: no" });
  });

  test.each([
    ["require", "require('fs')"],
    ["process", "process.env"],
    ["import", "await import('node:fs')"],
    ["fetch", "fetch('http://127.0.0.1')"],
    ["the_constructor_of_a_host_function", "print.constructor.constructor('return process')().exit()"],
    ["the_prototype_of_a_host_object", "std.in.readAsString.__proto__.constructor('return globalThis.process.pid')()"],
    ["a_worker", "new Worker('x')"],
    ["std_files", "std.open('/etc/passwd', 'r')"],
  ])("program_that_wants_%s_fails", async (_, source) => {
    expect((await run(program("javascript", source))).score).toBe(0);
  });

  test("program_that_loops_is_stopped_at_its_limit", async () => {
    const { score, explanation } = await run(program("javascript", "for (;;) {}", { timeoutMs: 200 }));
    expect({ score, explanation }).toEqual({ score: 0, explanation: "it was stopped after 200 ms" });
  });

  test("program_that_allocates_gets_no_more_than_its_memory", async () => {
    const source = "const a = []; for (;;) a.push(new Uint8Array(1 << 20).fill(1))";
    const { score, explanation } = await run(program("javascript", source, { memoryBytes: 8 * MIB }));
    expect(score).toBe(0);
    expect(explanation).toContain(`more than ${8 * MIB} bytes of memory`);
  });

  test("program_that_recurses_without_end_fails_alone", async () => {
    expect((await run(program("javascript", "(function f() { f() })()"))).score).toBe(0);
    expect((await run(program("javascript", "print(1)"))).score).toBe(1);
  });

  test("nothing_of_one_program_is_seen_by_the_next", async () => {
    await run(program("javascript", "globalThis.left = 1; Array.prototype.left = 1; print(1)"));
    expect(
      (await run(program("javascript", "print(typeof left === 'undefined' && [].left === undefined ? 1 : 0)"))).score,
    ).toBe(1);
  });

  test("program_that_does_not_compile_is_refused", async () => {
    const failure = confinement.prepare(program("javascript", "let x = 1;\nif (x {"), never);
    await expect(failure).rejects.toMatchObject({ kind: "program", position: "line 2" });
    await confinement.prepare(program("javascript", "for (;;) {}"), never);
  });
});

describe("expressions", () => {
  test("regex_that_hangs_a_backtracking_engine_is_linear", async () => {
    const check = { kind: "regex", pattern: "^(a+)+$", full: false } as const;
    const { score, explanation } = await confinement.check(check, `${"a".repeat(100_000)}!`, never);
    expect({ score, explanation }).toEqual({ score: 0, explanation: "it does not match ^(a+)+$" });
  });

  test("pattern_of_a_schema_that_hangs_a_backtracking_engine_is_linear", async () => {
    const check = { kind: "json_schema", schema: '{"type":"string","pattern":"^(a+)+$"}' } as const;
    const { score } = await confinement.check(check, JSON.stringify(`${"a".repeat(100_000)}!`), never);
    expect(score).toBe(0);
  });

  test("malformed_expressions_are_refused", async () => {
    const regex = { kind: "regex", pattern: "(", full: false } as const;
    await expect(confinement.prepare(regex, never)).rejects.toMatchObject({ kind: "regular expression" });
    const schema = { kind: "json_schema", schema: '{"type": "nothing"}' } as const;
    await expect(confinement.prepare(schema, never)).rejects.toMatchObject({ kind: "JSON Schema" });
  });

  test("answers_are_extracted_by_the_first_group", async () => {
    const texts = ["the answer: 4", "none", "answer: 5"];
    expect(await confinement.extract("answer: (\\d)", texts, never)).toEqual(["4", undefined, "5"]);
  });

  test("more_tasks_than_workers_wait_for_their_turn", async () => {
    const checks = Array.from({ length: 8 }, (_, index) => run(program("javascript", `print(${index} / 8)`)));
    expect((await Promise.all(checks)).map(({ score }) => score)).toEqual([0, 1, 2, 3, 4, 5, 6, 7].map((i) => i / 8));
  });

  test("task_whose_caller_goes_away_is_ended", async () => {
    const abort = new AbortController();
    const task = confinement.check(program("javascript", "for (;;) {}"), "", abort.signal);
    abort.abort(new Error("gone"));
    await expect(task).rejects.toThrow("gone");
    expect((await run(program("javascript", "print(1)"))).score).toBe(1);
  });
});
