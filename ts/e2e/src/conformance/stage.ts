import { join } from "node:path";
import { Nats } from "../harness/nats.js";
import { freePorts } from "../harness/network.js";
import { Process } from "../harness/process.js";
import type { Client, Server } from "./languages.js";
import { servers } from "./languages.js";
import type { Pair } from "./matrix.js";
import { runClient, type Tls } from "./run.js";
import { makeTls, startEnvoy } from "./surroundings.js";

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

/** What all runs share: NATS, a certificate authority, two Envoys, and a port for each server. */
export class Stage {
  private constructor(
    readonly nats: Nats,
    readonly tls: Tls,
    readonly ports: ReadonlyMap<string, number>,
    readonly envoys: ReadonlyMap<boolean, { readonly process: Process; readonly port: number }>,
  ) {}

  static async open(folder: string): Promise<Stage> {
    const [natsPort = 0, ...rest] = await freePorts(1 + servers.length);
    const ports = new Map(servers.map((server, index) => [server.name, rest[index] ?? 0]));
    const nats = await Nats.start(join(folder, "nats"), natsPort);
    const tls = await makeTls(join(folder, "tls"));
    const envoys = new Map([
      [false, await startEnvoy({ folder: join(folder, "envoy"), backends: ports })],
      [true, await startEnvoy({ folder: join(folder, "envoy-tls"), backends: ports, tls })],
    ]);
    return new Stage(nats, tls, ports, envoys);
  }

  /** Starts the server anew, runs all cases with the client, and sees to it that the server is gone. */
  async run(server: Server, client: Client, mode: Mode): Promise<Pair> {
    const address = `127.0.0.1:${this.ports.get(server.name) ?? 0}`;
    const envoy = this.envoys.get(mode.tls);
    const mesh = mode.envoy && envoy !== undefined ? `127.0.0.1:${envoy.port}` : address;
    const process = new Process({
      name: server.name,
      ...server.start(),
      env: {
        UAIT_PORT: address.slice(address.indexOf(":") + 1),
        UAIT_HTTP_PORT: "0",
        UAIT_MESH: mesh,
        UAIT_NATS_URL: this.nats.url,
        UAIT_LEASE: "off",
        // Nothing listens here: a collector that is away must change no answer.
        OTEL_EXPORTER_OTLP_ENDPOINT: "http://127.0.0.1:9",
        ...(mode.tls ? { UAIT_TLS_CERT: this.tls.cert, UAIT_TLS_KEY: this.tls.key, UAIT_TLS_CA: this.tls.ca } : {}),
      },
    });
    try {
      await process.serving();
      const results = await runClient({
        client,
        service: server.name,
        target: mesh,
        server: address,
        pid: process.pid,
        timeoutMs: RUN_TIMEOUT_MS,
        ...(mode.tls ? { tls: this.tls } : {}),
      });
      const exit = await process.stop();
      const ended =
        exit === 0 ? [] : [{ case: "the server exits with 0", ok: false, ms: 0, error: `${exit}\n${process.tail()}` }];
      return { server: server.name, client: client.name, mode: mode.name, results: [...results, ...ended] };
    } catch (error) {
      const failure = { case: "the server serves", ok: false, ms: 0, error: String(error) };
      return { server: server.name, client: client.name, mode: mode.name, results: [failure] };
    } finally {
      process.signal("SIGKILL");
    }
  }

  async close(): Promise<void> {
    await Promise.all([...this.envoys.values()].map((envoy) => envoy.process.stop()));
    await this.nats.stop();
  }
}
