import { describe, expect, test } from "vitest";
import { cargo, conformance, go, processorSeconds, pytest, settle, vitest } from "./count.js";

describe("count", () => {
  test("go_counts_tests_and_subtests", () => {
    const output =
      "=== RUN   TestA\n    --- PASS: TestA/x (0.00s)\n--- PASS: TestA (0.00s)\n--- FAIL: TestB (0.00s)\nFAIL";
    expect(go(output)).toEqual({ passed: 2, failed: 1 });
  });

  test("cargo_adds_up_binaries", () => {
    const output = "test result: ok. 3 passed; 0 failed; 0 ignored\ntest result: FAILED. 1 passed; 2 failed; 0 ignored";
    expect(cargo(output)).toEqual({ passed: 4, failed: 2 });
  });

  test("vitest_reads_its_closing_line", () => {
    expect(vitest("      Tests  1 failed | 12 passed (13)")).toEqual({ passed: 12, failed: 1 });
    expect(vitest("      Tests  12 passed (12)")).toEqual({ passed: 12, failed: 0 });
  });

  test("pytest_reads_its_closing_line", () => {
    expect(pytest("==== 2 failed, 5 passed in 0.3s ====")).toEqual({ passed: 5, failed: 2 });
    expect(pytest("5 passed, 1 error in 0.3s")).toEqual({ passed: 5, failed: 1 });
  });

  test("conformance_counts_pairs", () => {
    expect(conformance("conformance: 3 of 5 pairs conform, in 2 s")).toEqual({ passed: 3, failed: 2 });
  });

  test("settle_believes_the_exit_code", () => {
    expect(settle({ passed: 3, failed: 0 }, 1)).toEqual({ passed: 3, failed: 1 });
    expect(settle({ passed: 3, failed: 2 }, 1)).toEqual({ passed: 3, failed: 2 });
    expect(settle({ passed: 0, failed: 0 }, 0)).toEqual({ passed: 1, failed: 0 });
  });

  test("processor_seconds_adds_user_and_system_of_shell_and_children", () => {
    expect(processorSeconds("0m0.004s 0m0.001s\n2m1.500s 0m3.250s\n")).toBeCloseTo(124.755);
    expect(processorSeconds("")).toBe(0);
  });
});
