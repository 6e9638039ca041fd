import { availableParallelism, totalmem } from "node:os";
import { Status } from "./status.js";

/** How busy this process is, in the terms of the ORCA load report. */
export interface Utilisation {
  /** Share of the machine's processor time over the last second: 0 to 1. */
  readonly cpu: number;
  /** Resident memory as a share of the machine's: 0 to 1. */
  readonly memory: number;
  /** Calls in flight as a share of the limit: 0 to 1. */
  readonly application: number;
  /** Calls ended per second. */
  readonly rps: number;
  /** Calls ended in a server fault per second. */
  readonly eps: number;
}

/** Trailer of the ORCA per-call report, in its text form. */
export const LOAD_KEY = "endpoint-load-metrics";

const SERVER_FAULTS: ReadonlySet<Status> = new Set<Status>([
  Status.UNKNOWN,
  Status.INTERNAL,
  Status.UNAVAILABLE,
  Status.DATA_LOSS,
]);

/** What a measurement reads of the process and the machine. */
export interface LoadSource {
  /** Monotonic clock in milliseconds. */
  now(): number;
  /** Processor time of the process so far, in microseconds. */
  cpuMicros(): number;
  residentBytes(): number;
  readonly totalBytes: number;
  readonly processors: number;
}

const PROCESS: LoadSource = {
  now: () => performance.now(),
  cpuMicros: () => {
    const { user, system } = process.cpuUsage();
    return user + system;
  },
  residentBytes: () => process.memoryUsage.rss(),
  totalBytes: totalmem(),
  processors: availableParallelism(),
};

/** Counts calls and measures the process once a second. */
export class LoadMeter {
  /** Calls in flight. */
  inFlight = 0;
  #ended = 0;
  #faults = 0;
  #lastMs: number;
  #lastCpuMicros: number;
  #utilisation: Utilisation = { cpu: 0, memory: 0, application: 0, rps: 0, eps: 0 };
  #report = "";
  readonly #maxInflight: number;
  readonly #source: LoadSource;
  #timer: NodeJS.Timeout | undefined;

  constructor(maxInflight: number, source: LoadSource = PROCESS) {
    this.#maxInflight = maxInflight;
    this.#source = source;
    this.#lastMs = source.now();
    this.#lastCpuMicros = source.cpuMicros();
    this.measure();
  }

  get utilisation(): Utilisation {
    return this.#utilisation;
  }

  /** Value of the `endpoint-load-metrics` trailer. */
  get report(): string {
    return this.#report;
  }

  /** Measures once a second until `stop`; keeps no process alive. */
  start(): void {
    this.#timer ??= setInterval(() => this.measure(), 1000).unref();
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  ended(code: Status): void {
    this.#ended++;
    if (SERVER_FAULTS.has(code)) this.#faults++;
  }

  measure(): void {
    const nowMs = this.#source.now();
    const cpuMicros = this.#source.cpuMicros();
    const seconds = (nowMs - this.#lastMs) / 1000;
    const perSecond = (count: number) => (seconds > 0 ? count / seconds : 0);
    this.#utilisation = {
      cpu: clampToOne(perSecond((cpuMicros - this.#lastCpuMicros) / 1e6) / this.#source.processors),
      memory: clampToOne(this.#source.residentBytes() / this.#source.totalBytes),
      application: clampToOne(this.inFlight / this.#maxInflight),
      rps: perSecond(this.#ended),
      eps: perSecond(this.#faults),
    };
    this.#report = formatReport(this.#utilisation);
    this.#lastMs = nowMs;
    this.#lastCpuMicros = cpuMicros;
    this.#ended = 0;
    this.#faults = 0;
  }
}

function formatReport({ cpu, memory, application, rps, eps }: Utilisation): string {
  return [
    `TEXT cpu_utilization=${cpu.toFixed(4)}`,
    `mem_utilization=${memory.toFixed(4)}`,
    `application_utilization=${application.toFixed(4)}`,
    `rps_fractional=${rps.toFixed(2)}`,
    `eps=${eps.toFixed(2)}`,
  ].join(", ");
}

function clampToOne(value: number): number {
  return Math.min(1, Math.max(0, value));
}
