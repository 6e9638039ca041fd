import { mean, quantile } from "./intervals.js";
import { millis, type Ran, type Runs } from "./runs.js";

/** What the mesh adds to its models, in milliseconds. */
export interface Overhead {
  readonly parallel: number;
  readonly runs: number;
  readonly steps: number;
  /** Time of a run minus time inside model calls, divided by its steps. */
  readonly perStep: readonly number[];
  /** From the last token of an attempt to the begin of the next: scoring, telling, asking. Attempts one at a time only. */
  readonly between: readonly number[];
}

/** Attempts of each run. */
const STEPS = 8;

/** Measures runs whose target no attempt reaches, so that every one takes all its steps. */
export async function measureOverhead(runs: Runs, parallel: number, count: number): Promise<Overhead> {
  const perStep: number[] = [];
  const between: number[] = [];
  for (let index = 0; index < count; index++) {
    const ran = await runs.run({
      task: "Count to three.",
      taskType: "general",
      verifiers: [{ kind: { $case: "exact", value: { expected: ["no model writes this"] } } }],
      sampling: { maxOutputTokens: 8, temperature: 1 },
      budget: { maxNodes: STEPS },
      search: { parallel, seed: BigInt(index) },
      agents: ["direct"],
    });
    const { nodes, elapsed, modelTime } = ran.answer;
    perStep.push((millis(elapsed) - millis(modelTime)) / nodes);
    if (parallel === 1) between.push(...gaps(ran));
  }
  return { parallel, runs: count, steps: STEPS, perStep, between };
}

/** From each attempt's last token to the next attempt's begin, ms; the events carry whole milliseconds. */
function gaps({ events }: Ran): number[] {
  const found: number[] = [];
  let lastTokenMs: number | undefined;
  for (const { event, time } of events) {
    const ms = time?.getTime() ?? 0;
    if (event?.$case === "token") lastTokenMs = ms;
    if (event?.$case !== "node" || lastTokenMs === undefined) continue;
    found.push(ms - lastTokenMs);
    lastTokenMs = undefined;
  }
  return found;
}

/** p50 and p99 of some figures, and their mean. */
export function summary(figures: readonly number[]): {
  readonly p50: number;
  readonly p99: number;
  readonly mean: number;
} {
  const sorted = [...figures].sort((a, b) => a - b);
  return { p50: quantile(sorted, 0.5), p99: quantile(sorted, 0.99), mean: mean(figures) };
}
