/** A figure measured several times. */
export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
  /** How many samples. */
  readonly n: number;
}

/** Median (of an even number: the mean of the middle two), extremes and count; throws on an empty list. */
export function spread(samples: readonly number[]): Spread {
  const sorted = [...samples].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const high = sorted[middle];
  const low = sorted[sorted.length % 2 === 1 ? middle : middle - 1];
  const min = sorted[0];
  const max = sorted[sorted.length - 1];
  if (high === undefined || low === undefined || min === undefined || max === undefined) {
    throw new RangeError("no samples");
  }
  return { median: (low + high) / 2, min, max, n: sorted.length };
}

/** "12.3 (11.9-13.0)". */
export const show = ({ median, min, max }: Spread, digits: number): string =>
  `${median.toFixed(digits)} (${min.toFixed(digits)}-${max.toFixed(digits)})`;
