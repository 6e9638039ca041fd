import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { until } from "../harness/network.js";
import { Process } from "../harness/process.js";
import { ENVOY, type EnvoyOptions, type Home, renderInto } from "./rendered.js";

/** One line of the access log. */
export type AccessEntry = Readonly<Record<string, string | number | null>>;

/** An Envoy under test. */
export class Envoy {
  private constructor(
    private readonly process: Process,
    /** Access log so far. */
    readonly log: readonly AccessEntry[],
    /** URL of the admin listener. */
    readonly admin: string,
    private readonly ports: Readonly<Record<string, number>>,
  ) {}

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
    const log: AccessEntry[] = [];
    process.onLine((line) => {
      if (line.startsWith("{")) log.push(JSON.parse(line) as AccessEntry);
    });
    try {
      const admin = await until(
        async () => {
          if (!process.running) return "ended";
          const url = `http://${(await readFile(adminFile, "utf8")).trim()}`;
          return (await fetch(`${url}/ready`)).status === 200 && url;
        },
        { what: "Envoy, ready", timeoutMs: 30_000 },
      );
      if (!process.running) throw new Error(`Envoy ended:\n${process.tail()}`);
      return new Envoy(process, log, admin, await listeners(admin));
    } catch (error) {
      await process.stop();
      throw error;
    }
  }

  /** `host:port` of a listener. */
  address(listener: "edge" | "edge-tls" | "mesh"): string {
    const port = this.ports[listener];
    if (port === undefined) throw new Error(`no listener ${listener}`);
    return `127.0.0.1:${port}`;
  }

  /** Text of an admin page. */
  async adminPage(path: string): Promise<string> {
    return (await fetch(this.admin + path)).text();
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
    return until(() => this.log.find(matches), { what: "an access log entry", timeoutMs: 20_000 });
  }

  /** What Envoy itself printed last, such as warnings of deprecated fields. */
  complaints(): string[] {
    return this.process
      .tail(200)
      .split("\n")
      .filter((line) => line.startsWith("["));
  }

  async stop(): Promise<void> {
    await this.process.stop();
  }
}

async function listeners(admin: string): Promise<Record<string, number>> {
  const page = (await (await fetch(`${admin}/listeners?format=json`)).json()) as {
    listener_statuses: { name: string; local_address: { socket_address: { port_value: number } } }[];
  };
  return Object.fromEntries(
    page.listener_statuses.map(({ name, local_address }) => [name, local_address.socket_address.port_value]),
  );
}
