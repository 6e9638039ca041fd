import { SearchOptions_Strategy as Strategy } from "@uait/gen/uait/orchestrator/v1/run.js";
import { clusterDifference, clusterMean, type Estimate, mean } from "./intervals.js";
import { randomOf } from "./random.js";
import type { Runs } from "./runs.js";
import { type BenchTask, KINDS, type Kind } from "./tasks.js";

/** Ways to answer, each with the same budget of tokens. */
export const WAYS = {
  "pass@1": { strategy: Strategy.STRATEGY_SINGLE, maxNodes: 1 },
  "best of 16": { strategy: Strategy.STRATEGY_BEST_OF, maxNodes: 16 },
  "AB-MCTS, 16 nodes": { strategy: Strategy.STRATEGY_AB_MCTS, maxNodes: 16 },
} as const;
export type Way = keyof typeof WAYS;

/** What one way got of one task with one seed. */
interface Outcome {
  /** 1 when the answer is right, else 0. */
  readonly solved: number;
  readonly tokens: number;
  readonly nodes: number;
}

export type Outcomes = ReadonlyMap<Way, readonly (readonly Outcome[])[]>;

export interface SearchPaysOptions {
  readonly runs: Runs;
  readonly tasks: readonly BenchTask[];
  readonly seeds: number;
  /** Input and output tokens of one run, whatever the way. */
  readonly maxTokens: number;
  /** Empty for the router's own choice. */
  readonly model: string;
  onTask(done: number): void;
}

const MAX_OUTPUT_TOKENS = 64;
/** Of the sampler: at 0 every sample would be the same. */
const TEMPERATURE = 0.8;

/** Runs every task by every way with every seed, the ways in turn, so that what drifts drifts for all. */
export async function runAll(options: SearchPaysOptions): Promise<Outcomes> {
  const ways = Object.keys(WAYS) as Way[];
  const outcomes = new Map<Way, Outcome[][]>(ways.map((way) => [way, options.tasks.map(() => [])]));
  let done = 0;
  for (const [index, task] of options.tasks.entries()) {
    for (let seed = 1; seed <= options.seeds; seed++) {
      for (const way of ways) outcomes.get(way)?.[index]?.push(await runOne(options, task, way, seed));
    }
    options.onTask(++done);
  }
  return outcomes;
}

async function runOne(options: SearchPaysOptions, task: BenchTask, way: Way, seed: number): Promise<Outcome> {
  const { strategy, maxNodes } = WAYS[way];
  const { answer } = await options.runs.run({
    ...task.request,
    budget: { maxNodes, maxTokens: BigInt(options.maxTokens) },
    search: { strategy, parallel: 4, seed: BigInt(seed) },
    sampling: { temperature: TEMPERATURE, maxOutputTokens: MAX_OUTPUT_TOKENS },
    agents: ["direct"],
    ...(options.model === "" ? {} : { models: [options.model] }),
  });
  const { inputTokens = 0n, outputTokens = 0n } = answer.usage ?? {};
  return { solved: answer.score === 1 ? 1 : 0, tokens: Number(inputTokens + outputTokens), nodes: answer.nodes };
}

/** A row of the report: a way on the tasks of one kind, or on all. */
export interface Row {
  readonly kind: Kind | "all";
  readonly way: Way;
  readonly solved: Estimate;
  readonly tokens: number;
  readonly nodes: number;
}

/** The rows, and what AB-MCTS gets beyond best of 16 on the same tasks. */
export function evaluate(
  tasks: readonly BenchTask[],
  outcomes: Outcomes,
): { readonly rows: Row[]; readonly gain: Estimate } {
  const random = randomOf(1);
  const rows: Row[] = [];
  for (const kind of [...KINDS, "all"] as const) {
    for (const [way, all] of outcomes) {
      const some = all.filter((_, index) => kind === "all" || tasks[index]?.kind === kind);
      const figures = some.map((seeds) => seeds.map(({ solved }) => solved));
      const flat = some.flat();
      rows.push({
        kind,
        way,
        solved: clusterMean(figures, random),
        tokens: mean(flat.map(({ tokens }) => tokens)),
        nodes: mean(flat.map(({ nodes }) => nodes)),
      });
    }
  }
  const solvedBy = (way: Way) => (outcomes.get(way) ?? []).map((seeds) => seeds.map(({ solved }) => solved));
  return { rows, gain: clusterDifference(solvedBy("AB-MCTS, 16 nodes"), solvedBy("best of 16"), random) };
}
