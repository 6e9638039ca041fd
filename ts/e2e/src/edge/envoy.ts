import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { until } from "../harness/network.js";
import { Process } from "../harness/process.js";
import { ENVOY, type EnvoyOptions, type Home, renderInto } from "./rendered.js";

/** One line of the access log. */
export type AccessEntry = Readonly<Record<string, string | number | null>>;

/** An Envoy under test. */
export class Envoy {
  /** Access log so far. */
  readonly log: AccessEntry[] = [];
  #admin = "";
  #ports: Readonly<Record<string, number>> = {};

  private constructor(
    readonly process: Process,
  ) {
    process.onLine((line) => {
      if (line.startsWith("{")) this.log.push(JSON.parse(line) as AccessEntry);
    });
  }

  /** Renders the configuration, starts Envoy and waits until its listeners take connections. */
  static async start(home: Home, options: EnvoyOptions): Promise<Envoy> {
    const file = await renderInto(home, options);
    const adminFile = join(home.folder, "admin");
    const process = new Process({
      name: "envoy",
      command: [
        ENVOY,
        ...["-c", file, "--admin-address-path", adminFile],
        ...["--disable-hot-restart", "--concurrency", "1", "--file-flush-interval-msec", "50", "-l", "warning"],
      ],
    });
    const envoy = new Envoy(process);
    try {
      await until(
        async () => {
          if (!process.running) return true;
          envoy.#admin = `http://${(await readFile(adminFile, "utf8")).trim()}`;
          return (await fetch(`${envoy.#admin}/ready`)).status === 200;
        },
        { what: "Envoy, ready", timeoutMs: 15_000 },
      );
      if (!process.running) throw new Error(`Envoy ended:\n${process.tail()}`);
      envoy.#ports = await envoy.#listeners();
    } catch (error) {
      await envoy.stop();
      throw error;
    }
    return envoy;
  }

  /** `host:port` of a listener. */
  address(listener: "edge" | "edge-tls" | "mesh"): string {
    const port = this.#ports[listener];
    if (port === undefined) throw new Error(`no listener ${listener}`);
    return `127.0.0.1:${port}`;
  }

  /** Text of an admin page. */
  async adminPage(path: string): Promise<string> {
    return (await fetch(`${this.#admin}${path}`)).text();
  }

  /** Counters and gauges whose names match, by name. */
  async stats(pattern: string): Promise<Map<string, number>> {
    const page = JSON.parse(await this.adminPage(`/stats?format=json&filter=${encodeURIComponent(pattern)}`)) as {
      stats: { name?: string; value?: number }[];
    };
    return new Map(page.stats.flatMap(({ name, value }) => (name === undefined ? [] : [[name, value ?? 0] as const])));
  }

  /** The first access log entry that matches, once there is one. */
  logged(matches: (entry: AccessEntry) => boolean): Promise<AccessEntry> {
    return until(() => this.log.find(matches), { what: "an access log entry", timeoutMs: 5_000 });
  }

  async stop(): Promise<void> {
    await this.process.stop();
  }

  async #listeners(): Promise<Record<string, number>> {
    const page = JSON.parse(await this.adminPage("/listeners?format=json")) as {
      listener_statuses: { name: string; local_address: { socket_address: { port_value: number } } }[];
    };
    return Object.fromEntries(
      page.listener_statuses.map(({ name, local_address }) => [name, local_address.socket_address.port_value]),
    );
  }
}
