import { execFile } from "node:child_process";
import { promisify } from "node:util";

const execute = promisify(execFile);

export interface Load {
  /** The ghz binary. */
  readonly ghz: string;
  /** File of a FileDescriptorSet that holds the service. */
  readonly descriptors: string;
  /** Full method, such as "uait.echo.v1.EchoService/Echo". */
  readonly method: string;
  /** host:port. */
  readonly target: string;
  /** Calls in flight. */
  readonly concurrency: number;
  readonly seconds: number;
  readonly data: object;
  readonly metadata: Readonly<Record<string, string>>;
}

/** What a run of load measured. */
export interface Measured {
  /** Calls that ended. */
  readonly calls: number;
  /** Calls per second. */
  readonly rps: number;
  /** Latency, in milliseconds. */
  readonly p50: number;
  readonly p99: number;
}

interface Report {
  readonly count: number;
  readonly rps: number;
  readonly statusCodeDistribution: Readonly<Record<string, number>>;
  readonly latencyDistribution: readonly { readonly percentage: number; readonly latency: number }[];
}

const NANOSECONDS_PER_MS = 1e6;

/** Calls a method in a closed loop for a while; a call that is not OK makes the whole run an error. */
export async function load(options: Load): Promise<Measured> {
  const { stdout } = await execute(
    options.ghz,
    [
      "--insecure",
      ...["--protoset", options.descriptors, "--call", options.method],
      ...["-c", String(options.concurrency), "--connections", String(Math.min(options.concurrency, 4))],
      // `wait` lets calls in flight at the end finish: they were served, so they count.
      ...["-z", `${options.seconds}s`, "--duration-stop", "wait"],
      ...["-d", JSON.stringify(options.data), "-m", JSON.stringify(options.metadata)],
      ...["-O", "json"],
      options.target,
    ],
    { maxBuffer: 1 << 28 },
  );
  const report = JSON.parse(stdout) as Report;
  const wrong = Object.entries(report.statusCodeDistribution).filter(([code]) => code !== "OK");
  if (wrong.length > 0 || report.count === 0) {
    throw new Error(`${options.method} at ${options.target}: ${JSON.stringify(report.statusCodeDistribution)}`);
  }
  const latency = (percentage: number): number => {
    const found = report.latencyDistribution.find((entry) => entry.percentage === percentage);
    if (found === undefined) throw new Error(`ghz reported no p${percentage}`);
    return found.latency / NANOSECONDS_PER_MS;
  };
  return { calls: report.count, rps: report.rps, p50: latency(50), p99: latency(99) };
}
