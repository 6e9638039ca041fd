import type { Random } from "./random.js";

/** A figure with the bounds of its 95 % interval. */
export interface Estimate {
  readonly value: number;
  readonly low: number;
  readonly high: number;
}

/** Resamples of a bootstrap. */
const RESAMPLES = 2000;
const TAIL = 0.025;

/**
 * Mean over tasks with its percentile bootstrap interval, resampling tasks: what one task got with several seeds is not
 * independent, so that a task is drawn as a whole.
 *
 * @param tasks what each task got, one figure a seed
 */
export function clusterMean(tasks: readonly (readonly number[])[], random: Random): Estimate {
  const means = tasks.map(mean);
  const draws = Array.from({ length: RESAMPLES }, () =>
    mean(means.map(() => means[Math.floor(random() * means.length)] ?? Number.NaN)),
  ).sort((a, b) => a - b);
  return { value: mean(means), low: quantile(draws, TAIL), high: quantile(draws, 1 - TAIL) };
}

/** Mean of the differences, task by task. */
export function clusterDifference(
  left: readonly (readonly number[])[],
  right: readonly (readonly number[])[],
  random: Random,
): Estimate {
  return clusterMean(
    left.map((figures, index) => [mean(figures) - mean(right[index] ?? [])]),
    random,
  );
}

/** The value below which a share of the sorted figures lies, interpolated linearly. @throws RangeError on none */
export function quantile(sorted: readonly number[], share: number): number {
  const place = (sorted.length - 1) * share;
  const below = sorted[Math.floor(place)];
  const above = sorted[Math.ceil(place)];
  if (below === undefined || above === undefined) throw new RangeError("no figures");
  return below + (above - below) * (place - Math.floor(place));
}

/** Arithmetic mean; NaN of nothing. */
export function mean(figures: readonly number[]): number {
  return figures.reduce((sum, figure) => sum + figure, 0) / figures.length;
}
