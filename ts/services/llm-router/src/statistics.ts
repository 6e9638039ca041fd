/** How a call of a model went, as far as choosing the next one is concerned. */
export interface CallSample {
  readonly atMs: number;
  readonly failed: boolean;
  /** `undefined` when no token came. */
  readonly timeToFirstTokenMs: number | undefined;
}

/** What the last hour says of a model. */
export interface ModelStatistics {
  readonly calls: number;
  /** `undefined` without a call that sent a token. */
  readonly medianTimeToFirstTokenMs: number | undefined;
  /** 0 to 1; 0 without calls. */
  readonly errorRate: number;
  /** Until when its upstream wants no calls; 0 for now. */
  readonly restsUntilMs: number;
}

const WINDOW_MS = 3_600_000;
/** Samples kept of a model: enough for a median, and bounded whatever the traffic. */
const MAX_SAMPLES = 1024;

/** Rolling figures of every model, from this process's own calls. */
export class Statistics {
  readonly #samples = new Map<string, CallSample[]>();
  readonly #rests = new Map<string, number>();

  record(model: string, sample: CallSample): void {
    const samples = this.#samples.get(model) ?? [];
    samples.push(sample);
    if (samples.length > MAX_SAMPLES) samples.shift();
    this.#samples.set(model, samples);
  }

  /** Notes that the upstream asked for no calls of this model before a time. */
  rest(model: string, untilMs: number): void {
    this.#rests.set(model, untilMs);
  }

  of(model: string, nowMs: number): ModelStatistics {
    const samples = (this.#samples.get(model) ?? []).filter(({ atMs }) => atMs > nowMs - WINDOW_MS);
    this.#samples.set(model, samples);
    const times = samples.flatMap(({ timeToFirstTokenMs }) => timeToFirstTokenMs ?? []);
    return {
      calls: samples.length,
      medianTimeToFirstTokenMs: median(times),
      errorRate: samples.length === 0 ? 0 : samples.filter(({ failed }) => failed).length / samples.length,
      restsUntilMs: this.#rests.get(model) ?? 0,
    };
  }
}

function median(values: readonly number[]): number | undefined {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle];
  if (upper === undefined || sorted.length % 2 === 1) return upper;
  return ((sorted[middle - 1] ?? upper) + upper) / 2;
}
