import type { Status } from "./status.js";

// From the half millisecond of a local hop to the default deadline of 30 s.
const BUCKETS_SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

const NAME = "rpc_server_duration_seconds";
const HELP = "Time from the arrival of a call to its status.";

/**
 * The histogram of calls by method and code. prom-client's takes 3 us an observation, as it makes a key of the labels
 * and another of the bucket's bound (deploy/decisions/0170); this one finds both by index.
 */
export class CallDurations {
  readonly #methods: MethodDurations[] = [];

  /** The durations of one method's calls; asked for once. */
  method(service: string, method: string): MethodDurations {
    const durations = new MethodDurations(service, method);
    this.#methods.push(durations);
    return durations;
  }

  /** In Prometheus' text format. */
  text(): string {
    const lines = this.#methods.flatMap((method) => [...method.lines()]);
    return [`# HELP ${NAME} ${HELP}`, `# TYPE ${NAME} histogram`, ...lines, ""].join("\n");
  }
}

/** The durations of one method's calls. */
export class MethodDurations {
  readonly #labels: string;
  /** By code. */
  readonly #series: (Series | undefined)[] = [];

  constructor(service: string, method: string) {
    this.#labels = `rpc_service="${service}",rpc_method="${method}"`;
  }

  observe(code: Status, seconds: number): void {
    let series = this.#series[code];
    if (series === undefined) {
      series = { counts: BUCKETS_SECONDS.map(() => 0), count: 0, sum: 0 };
      this.#series[code] = series;
    }
    series.count++;
    series.sum += seconds;
    const bucket = BUCKETS_SECONDS.findIndex((bound) => seconds <= bound);
    if (bucket >= 0) series.counts[bucket] = (series.counts[bucket] ?? 0) + 1;
  }

  *lines(): Generator<string> {
    for (const [code, series] of this.#series.entries()) {
      if (series === undefined) continue;
      const labels = `${this.#labels},rpc_grpc_status_code="${code}"`;
      let below = 0;
      for (const [index, bound] of BUCKETS_SECONDS.entries()) {
        below += series.counts[index] ?? 0;
        yield `${NAME}_bucket{le="${bound}",${labels}} ${below}`;
      }
      yield `${NAME}_bucket{le="+Inf",${labels}} ${series.count}`;
      yield `${NAME}_sum{${labels}} ${series.sum}`;
      yield `${NAME}_count{${labels}} ${series.count}`;
    }
  }
}

interface Series {
  /** Calls of each bucket, those of the buckets below not counted in. */
  readonly counts: number[];
  count: number;
  sum: number;
}
