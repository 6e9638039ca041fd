import { mkdir } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { Nats } from "../harness/nats.js";
import { Process } from "../harness/process.js";
import type { Cases } from "./cases.js";
import { type Client, type Server, servers } from "./languages.js";
import type { Pair } from "./matrix.js";
import { Permits } from "./permits.js";
import type { CaseResult, Clients, Tls } from "./run.js";
import { type RunningEnvoy, startEnvoy } from "./surroundings.js";

/** How a client reaches a server. */
export interface Mode {
  readonly name: string;
  readonly envoy: boolean;
  readonly tls: boolean;
}

export const modes: readonly Mode[] = [
  { name: "direct", envoy: false, tls: false },
  { name: "direct+tls", envoy: false, tls: true },
  { name: "envoy", envoy: true, tls: false },
  { name: "envoy+tls", envoy: true, tls: true },
];

const RUN_TIMEOUT_MS = 120_000;

/** How many ports a stage takes: one for NATS, and one for each server. */
export const PORTS = 1 + servers.length;

// What keeps processors busy takes turns on them, so that what waits, beside it, is answered as on a machine that is not.
const processors = new Permits(availableParallelism());

export interface StageOptions {
  readonly mode: Mode;
  readonly folder: string;
  /** The first of as many free ports as `PORTS` says, which nothing else is given while a server is away between two pairs. */
  readonly basePort: number;
  /** A certificate authority, and the certificate that both ends of each connection show. */
  readonly tls: Tls;
  readonly clients: Clients;
  readonly cases: Cases;
}

/**
 * What the runs of one mode share: a NATS server, an Envoy where the mode has one, and a port for each server. Nothing is
 * shared between modes, so that two servers of one name, whose durable consumers are one, never meet.
 */
export class Stage {
  private constructor(
    readonly mode: Mode,
    readonly nats: Nats,
    readonly tls: Tls | undefined,
    readonly clients: Clients,
    readonly cases: Cases,
    readonly ports: ReadonlyMap<string, number>,
    readonly envoy: RunningEnvoy | undefined,
  ) {}

  static async open({ mode, folder, basePort, tls: made, clients, cases }: StageOptions): Promise<Stage> {
    await mkdir(folder, { recursive: true });
    const ports = new Map(servers.map((server, index) => [server.name, basePort + 1 + index]));
    const nats = await Nats.start(join(folder, "nats"), basePort);
    const tls = mode.tls ? made : undefined;
    const envoy = mode.envoy
      ? await startEnvoy({ folder, backends: ports, ...(tls === undefined ? {} : { tls }) })
      : undefined;
    return new Stage(mode, nats, tls, clients, cases, ports, envoy);
  }

  /** Starts the server anew, runs all cases with the client, and sees to it that the server is gone. */
  async run(server: Server, client: Client): Promise<Pair> {
    const pair = { server: server.name, client: client.name, mode: this.mode.name };
    const begun: Process[] = [];
    try {
      const { process, running } = await processors.hold(async () => {
        const process = this.#begin(server);
        begun.push(process);
        await process.serving();
        return await this.#untilItWaits(process, server, client);
      });
      const results = await running;
      const exit = await process.stop();
      const ended =
        exit === 0 ? [] : [{ case: "the server exits with 0", ok: false, ms: 0, error: `${exit}\n${process.tail()}` }];
      return { ...pair, results: [...results, ...ended] };
    } catch (error) {
      return { ...pair, results: [{ case: "the server serves", ok: false, ms: 0, error: String(error) }] };
    } finally {
      for (const process of begun) process.signal("SIGKILL");
    }
  }

  #address(server: Server): string {
    return `127.0.0.1:${this.ports.get(server.name) ?? 0}`;
  }

  #target(server: Server): string {
    return this.envoy === undefined ? this.#address(server) : `127.0.0.1:${this.envoy.port}`;
  }

  #begin(server: Server): Process {
    const { tls } = this;
    return new Process({
      name: server.name,
      ...server.start(),
      env: {
        UAIT_PORT: String(this.ports.get(server.name) ?? 0),
        UAIT_HTTP_PORT: "0",
        UAIT_MESH: this.#target(server),
        UAIT_NATS_URL: this.nats.url,
        UAIT_LEASE: "off",
        // Nothing listens here: a collector that is away must change no answer.
        OTEL_EXPORTER_OTLP_ENDPOINT: "http://127.0.0.1:9",
        ...(tls === undefined ? {} : { UAIT_TLS_CERT: tls.cert, UAIT_TLS_KEY: tls.key, UAIT_TLS_CA: tls.ca }),
      },
    });
  }

  /** Runs the cases; resolves when those are left that wait for a time to pass, or none. */
  async #untilItWaits(
    process: Process,
    server: Server,
    client: Client,
  ): Promise<{ readonly process: Process; readonly running: Promise<CaseResult[]> }> {
    const { file, work } = this.cases;
    let waits: () => void = () => undefined;
    const waiting = new Promise<void>((resolve) => {
      waits = resolve;
    });
    const running = this.clients.run({
      client,
      cases: file,
      service: server.name,
      target: this.#target(server),
      server: this.#address(server),
      pid: process.pid,
      timeoutMs: RUN_TIMEOUT_MS,
      ...(this.tls === undefined ? {} : { tls: this.tls }),
      onResult: (ended) => {
        if (ended === work) waits();
      },
    });
    await Promise.race([waiting, running]);
    return { process, running };
  }

  async close(): Promise<void> {
    await this.envoy?.process.stop();
    await this.nats.stop();
  }
}
