import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { freePorts, type Nats, Process, program, type RunningEnvoy, startEnvoy } from "@uait/e2e";
import { type Load, load, type Measured } from "./ghz.js";
import type { Jaeger } from "./jaeger.js";
import type { Subject } from "./subjects.js";
import { cpuSeconds, residentBytes } from "./usage.js";

/** How a call reaches which server. */
export const VARIANTS = ["bare", "kit untraced", "kit traced", "Envoy untraced", "Envoy traced"] as const;
export type Variant = (typeof VARIANTS)[number];

/** One run of load: what the caller saw, and what it cost. */
export interface Sample extends Measured {
  /** Processor time of a call, in microseconds, in each process that took part. */
  readonly cpuBackend: number;
  readonly cpuEnvoy: number | undefined;
  readonly cpuJaeger: number | undefined;
}

const MICROSECONDS = 1e6;
const MEGABYTE = 1e6;
/** A service is idle when it has had this long without a call. */
const IDLE_MS = 5_000;

const DATA = { message: "hello, echo" };

interface Backend {
  readonly process: Process;
  readonly address: string;
}

/** Everything that one language's figures are measured with; all of it runs while any of it is measured. */
export class Field {
  private constructor(
    readonly subject: Subject,
    readonly jaeger: Jaeger,
    readonly descriptors: string,
    private readonly backends: ReadonlyMap<"bare" | "untraced" | "traced", Backend>,
    private readonly envoys: ReadonlyMap<"untraced" | "traced", RunningEnvoy>,
    /** Resident memory of the idle service with the kit, tracing on, in MB (10^6 bytes). */
    readonly idleMegabytes: number,
  ) {}

  static async open(options: {
    subject: Subject;
    jaeger: Jaeger;
    nats: Nats;
    descriptors: string;
    folder: string;
  }): Promise<Field> {
    const { subject, jaeger, nats, descriptors, folder } = options;
    const [bare = 0, untraced = 0, traced = 0] = await freePorts(3);
    const kit = (port: number, environment: Readonly<Record<string, string>>): Process =>
      new Process({
        name: subject.service,
        ...subject.kit(),
        env: {
          UAIT_PORT: String(port),
          UAIT_HTTP_PORT: "0",
          UAIT_LEASE: "off",
          UAIT_NATS_URL: nats.url,
          ...environment,
        },
      });
    const tracedProcess = kit(traced, { OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${jaeger.otlp}` });
    const backends = new Map<"bare" | "untraced" | "traced", Backend>([
      ["traced", { process: tracedProcess, address: `127.0.0.1:${traced}` }],
      ["untraced", { process: kit(untraced, { OTEL_SDK_DISABLED: "true" }), address: `127.0.0.1:${untraced}` }],
      [
        "bare",
        {
          process: new Process({
            name: `${subject.service} bare`,
            ...subject.bare(),
            env: { UAIT_PORT: String(bare) },
          }),
          address: `127.0.0.1:${bare}`,
        },
      ],
    ]);
    await Promise.all([...backends.values()].map(({ process, address }) => listening(process, address)));
    await setTimeout(IDLE_MS);
    const idleMegabytes = (await residentBytes(tracedProcess.pid)) / MEGABYTE;
    const envoys = new Map<"untraced" | "traced", RunningEnvoy>([
      [
        "untraced",
        await startEnvoy({ folder: join(folder, "envoy"), backends: new Map([[subject.service, untraced]]) }),
      ],
      [
        "traced",
        await startEnvoy({
          folder: join(folder, "envoy-traced"),
          backends: new Map([[subject.service, traced]]),
          otlp: jaeger.otlp,
        }),
      ],
    ]);
    return new Field(subject, jaeger, descriptors, backends, envoys, idleMegabytes);
  }

  /** Calls one variant for a while. */
  async measure(variant: Variant, concurrency: number, seconds: number): Promise<Sample> {
    const traced = variant === "kit traced" || variant === "Envoy traced";
    const backend = this.backends.get(variant === "bare" ? "bare" : traced ? "traced" : "untraced");
    const envoy = variant.startsWith("Envoy") ? this.envoys.get(traced ? "traced" : "untraced") : undefined;
    if (backend === undefined) throw new Error(`no backend for ${variant}`);
    const pids = [backend.process.pid, envoy?.process.pid, traced && this.jaeger.running ? this.jaeger.pid : undefined];
    const before = await Promise.all(pids.map(used));
    const measured = await load({
      ...this.call,
      target: envoy === undefined ? backend.address : `127.0.0.1:${envoy.port}`,
      concurrency,
      seconds,
    });
    const after = await Promise.all(pids.map(used));
    const [cpuBackend, cpuEnvoy, cpuJaeger] = pids.map((pid, index) =>
      pid === undefined ? undefined : (((after[index] ?? 0) - (before[index] ?? 0)) / measured.calls) * MICROSECONDS,
    );
    return { ...measured, cpuBackend: cpuBackend ?? 0, cpuEnvoy, cpuJaeger };
  }

  private get call(): Omit<Load, "target" | "concurrency" | "seconds"> {
    return {
      ghz: program("bin", "ghz"),
      descriptors: this.descriptors,
      method: "uait.echo.v1.EchoService/Echo",
      data: DATA,
      metadata: { "x-uait-tenant": "bench", "x-uait-service": this.subject.service },
    };
  }

  async close(): Promise<void> {
    await Promise.all([...this.envoys.values()].map(({ process }) => process.stop()));
    await Promise.all([...this.backends.values()].map(({ process }) => process.stop()));
  }
}

const used = (pid: number | undefined): Promise<number> => (pid === undefined ? Promise.resolve(0) : cpuSeconds(pid));

async function listening(process: Process, address: string): Promise<void> {
  const { grpc } = await process.serving();
  if (!grpc.endsWith(address.slice(address.indexOf(":"))))
    throw new Error(`${process.name} serves at ${grpc}, not at ${address}`);
}
