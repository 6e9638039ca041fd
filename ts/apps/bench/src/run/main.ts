/**
 * `make bench-run`: what the mesh adds to its models for each step of a search, and whether search pays: on generated tasks that
 * can be verified, one sample, the best of 16, and AB-MCTS with 16 nodes. Wants a running mesh and a machine with nothing else to do.
 *
 * Usage: main.ts [--tasks N] [--seeds N] [--tokens N] [--runs N] [--model NAME] [--only overhead|search]; prints Markdown.
 */
import { parseArgs } from "node:util";
import { describeMachine } from "../machine.js";
import { markdown, verdictTable } from "../report.js";
import type { Estimate } from "./intervals.js";
import { measureOverhead, type Overhead, summary } from "./overhead.js";
import { Runs } from "./runs.js";
import { evaluate, runAll } from "./search-pays.js";
import { makeTasks } from "./tasks.js";

const { values } = parseArgs({
  options: {
    tasks: { type: "string", default: "60" },
    seeds: { type: "string", default: "3" },
    tokens: { type: "string", default: "4000" },
    runs: { type: "string", default: "100" },
    model: { type: "string", default: "" },
    only: { type: "string" },
  },
});

/** Most that the mesh may add to a step, ms. */
const P50_LIMIT_MS = 15;
const P99_LIMIT_MS = 60;
const WARM_UP_RUNS = 3;
/** Seed of the tasks. */
const TASK_SEED = 20_261_124;

const runs = await Runs.open();
try {
  console.log(describeMachine().join("\n"));
  if (values.only !== "search") await overhead();
  if (values.only !== "overhead") await searchPays();
} finally {
  runs.close();
}

async function overhead(): Promise<void> {
  await measureOverhead(runs, 1, WARM_UP_RUNS);
  const measured: Overhead[] = [];
  for (const parallel of [1, 4]) measured.push(await measureOverhead(runs, parallel, Number(values.runs)));
  const rows = measured.flatMap(({ parallel, runs: count, perStep, between }) => {
    const row = (what: string, figures: readonly number[]) => {
      const { p50, p99, mean } = summary(figures);
      return [what, String(parallel), String(figures.length), p50.toFixed(1), p99.toFixed(1), mean.toFixed(1)];
    };
    const whole = row(`run time minus model time, by step (${count} runs)`, perStep);
    return between.length === 0 ? [whole] : [whole, row("last token to next attempt", between)];
  });
  console.log(`\n${markdown(["ms", "attempts at once", "figures", "p50", "p99", "mean"], rows)}`);
  const { p50, p99 } = summary(measured[0]?.perStep ?? []);
  const what = "what the mesh adds to a search step, attempts one at a time";
  console.log(
    `\n${verdictTable([
      {
        what: `${what}: p50`,
        figure: `${p50.toFixed(1)} ms`,
        limit: `<= ${P50_LIMIT_MS} ms`,
        reached: p50 <= P50_LIMIT_MS,
      },
      {
        what: `${what}: p99`,
        figure: `${p99.toFixed(1)} ms`,
        limit: `<= ${P99_LIMIT_MS} ms`,
        reached: p99 <= P99_LIMIT_MS,
      },
    ])}`,
  );
}

async function searchPays(): Promise<void> {
  const tasks = makeTasks(Number(values.tasks), TASK_SEED);
  const [seeds, maxTokens] = [Number(values.seeds), Number(values.tokens)];
  const outcomes = await runAll({
    runs,
    tasks,
    seeds,
    maxTokens,
    model: values.model,
    onTask: (done) => console.error(`${done} of ${tasks.length} tasks`),
  });
  const { rows, gain } = evaluate(tasks, outcomes);
  console.log(
    `\n${tasks.length} tasks, ${seeds} seeds, at most ${maxTokens} tokens a run, model ${values.model || "the router's choice"}; share of right answers with its 95 % interval (bootstrap over tasks)\n`,
  );
  console.log(
    markdown(
      ["tasks", "way", "right", "tokens used", "attempts"],
      rows.map(({ kind, way, solved, tokens, nodes }) => [
        kind,
        way,
        show(solved),
        tokens.toFixed(0),
        nodes.toFixed(1),
      ]),
    ),
  );
  console.log(`\nAB-MCTS beyond best of 16, task by task: ${show(gain)}. ${verdict(gain)}`);
}

function verdict({ low, high }: Estimate): string {
  if (low > 0) return "The search pays.";
  if (high < 0) return "The search costs answers.";
  return "No difference can be told from chance with so many tasks.";
}

function show({ value, low, high }: Estimate): string {
  return `${value.toFixed(3)} (${low.toFixed(3)} to ${high.toFixed(3)})`;
}
