import type { Sample, Variant } from "./mesh-measures.js";
import { type Spread, show, spread } from "./spread.js";
import type { Subject } from "./subjects.js";

/** All samples of one language, variant and concurrency, one for each round. */
export interface Series {
  readonly subject: Subject;
  readonly variant: Variant;
  readonly concurrency: number;
  readonly samples: readonly Sample[];
}

/** A figure that must reach a limit. */
export interface Verdict {
  readonly what: string;
  readonly figure: string;
  readonly limit: string;
  readonly reached: boolean;
}

const column = (series: Series, pick: (sample: Sample) => number | undefined, digits: number): string => {
  const values = series.samples.map(pick).filter((value) => value !== undefined);
  return values.length === 0 ? "-" : show(spread(values), digits);
};

/** The table of everything measured: medians, with the least and the most in parentheses. */
export function table(all: readonly Series[]): string {
  const head = ["service", "way", "c", "requests/s", "p50 ms", "p99 ms", "CPU us: backend", "Envoy", "Jaeger"];
  const rows = all.map((series) => [
    series.subject.service,
    series.variant === "bare" ? `bare ${series.subject.framework}` : series.variant,
    String(series.concurrency),
    column(series, (sample) => sample.rps, 0),
    column(series, (sample) => sample.p50, 2),
    column(series, (sample) => sample.p99, 2),
    column(series, (sample) => sample.cpuBackend, 0),
    column(series, (sample) => sample.cpuEnvoy, 0),
    column(series, (sample) => sample.cpuJaeger, 0),
  ]);
  return markdown(head, rows);
}

/** The limits, each with what was measured. */
export function verdicts(all: readonly Series[], idle: ReadonlyMap<Subject, number>): Verdict[] {
  const found: Verdict[] = [];
  for (const subject of new Set(all.map((series) => series.subject))) {
    const of = (variant: Variant, concurrency: number): readonly Sample[] =>
      all.find((s) => s.subject === subject && s.variant === variant && s.concurrency === concurrency)?.samples ?? [];
    // Round by round: what drifts with the machine's speed drifts in both.
    const overhead = pairwise(
      of("kit traced", 16),
      of("bare", 16),
      (kit, bare) => kit.cpuBackend / bare.cpuBackend - 1,
    );
    found.push({
      what: `${subject.service}: CPU that the kit adds to bare ${subject.framework}, traced, 16 at once`,
      figure: `${show(scaled(overhead, 100), 0)} %`,
      limit: `<= ${subject.overheadLimit * 100} %`,
      reached: overhead.median <= subject.overheadLimit,
    });
    const added = pairwise(of("Envoy untraced", 1), of("kit untraced", 1), (envoy, direct) => envoy.p50 - direct.p50);
    found.push({
      what: `${subject.service}: p50 that Envoy adds, one at a time`,
      figure: `${show(added, 2)} ms`,
      limit: "<= 0.5 ms",
      reached: added.median <= 0.5,
    });
    const resident = idle.get(subject) ?? Number.NaN;
    found.push({
      what: `${subject.service}: resident memory when idle`,
      figure: `${resident.toFixed(1)} MB`,
      limit: `<= ${subject.residentLimit} MB`,
      reached: resident <= subject.residentLimit,
    });
  }
  return found;
}

export function verdictTable(found: readonly Verdict[]): string {
  return markdown(
    ["what", "measured", "must be", ""],
    found.map(({ what, figure, limit, reached }) => [what, figure, limit, reached ? "reached" : "NOT reached"]),
  );
}

/** A figure of each pair of rounds. */
export const pairwise = <T>(left: readonly T[], right: readonly T[], compare: (left: T, right: T) => number): Spread =>
  spread(left.flatMap((sample, index) => (right[index] === undefined ? [] : [compare(sample, right[index])])));

const scaled = ({ median, min, max, n }: Spread, by: number): Spread => ({
  median: median * by,
  min: min * by,
  max: max * by,
  n,
});

/** A table. */
export function markdown(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...rows.map(line)].join("\n");
}
