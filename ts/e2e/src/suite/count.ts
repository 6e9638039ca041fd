/** How many checks passed and failed. */
export interface Count {
  readonly passed: number;
  readonly failed: number;
}

/** Reads a count out of everything that a command printed. */
export type Counter = (output: string) => Count;

const sum = (output: string, pattern: RegExp): number =>
  [...output.matchAll(pattern)].reduce((total, match) => total + Number(match[1]), 0);

/** The command is one check by itself; its exit code decides. */
export const one: Counter = () => ({ passed: 0, failed: 0 });

/** `go test -v`: each test and subtest. */
export const go: Counter = (output) => ({
  passed: [...output.matchAll(/^\s*--- PASS: /gm)].length,
  failed: [...output.matchAll(/^\s*--- FAIL: /gm)].length,
});

/** `cargo test`: the closing line of each binary. */
export const cargo: Counter = (output) => ({
  passed: sum(output, /^test result: \w+\. (\d+) passed/gm),
  failed: sum(output, /^test result: .*?(\d+) failed/gm),
});

/** vitest's closing "Tests" line. */
export const vitest: Counter = (output) => ({
  passed: sum(output, /^\s*Tests .*?(\d+) passed/gm),
  failed: sum(output, /^\s*Tests .*?(\d+) failed/gm),
});

/** pytest's closing line. */
export const pytest: Counter = (output) => ({
  passed: sum(output, /^=*\s*(?:.*?, )?(\d+) passed/gm),
  failed: sum(output, /^=*\s*(?:.*?, )?(\d+) (?:failed|errors?)/gm),
});

/** The conformance suite's closing line, where each pair of client and server is a check. */
export const conformance: Counter = (output) => {
  const match = /conformance: (\d+) of (\d+) pairs conform/.exec(output);
  const passed = Number(match?.[1] ?? 0);
  return { passed, failed: Number(match?.[2] ?? 0) - passed };
};

/**
 * A step's count: what its output says, made to agree with its exit code. A command that failed without naming a failed
 * check is one failed check, and one that succeeded without counting is one passed check.
 */
export function settle(counted: Count, exit: number): Count {
  if (exit !== 0) return counted.failed > 0 ? counted : { ...counted, failed: 1 };
  return counted.passed + counted.failed > 0 ? counted : { passed: 1, failed: 0 };
}

/** What bash's `times` prints of a shell and of its children: two lines of "0m1.500s 0m0.250s", user and system. */
export const processorSeconds = (times: string): number =>
  [...times.matchAll(/(\d+)m([\d.]+)s/g)].reduce(
    (total, [, minutes, seconds]) => total + 60 * Number(minutes) + Number(seconds),
    0,
  );
