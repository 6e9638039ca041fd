import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { accepts, until } from "./network.js";
import { Process } from "./process.js";
import { program } from "./repository.js";

/** A NATS server with JetStream on disk, as the mesh runs it, on a port and in a folder of the test's own. */
export class Nats {
  readonly #configuration: string;
  #process: Process | undefined;

  private constructor(
    readonly port: number,
    configuration: string,
  ) {
    this.#configuration = configuration;
  }

  /** Writes the configuration and starts the server. */
  static async start(folder: string, port: number): Promise<Nats> {
    await mkdir(folder, { recursive: true });
    const configuration = join(folder, "nats.conf");
    await writeFile(
      configuration,
      [
        `listen: "127.0.0.1:${port}"`,
        `jetstream { store_dir: "${folder}", sync_interval: always, max_file_store: 1GB }`,
        "",
      ].join("\n"),
    );
    const nats = new Nats(port, configuration);
    await nats.start();
    return nats;
  }

  get url(): string {
    return `nats://127.0.0.1:${this.port}`;
  }

  /** Starts it again on the same port and store. */
  async start(): Promise<void> {
    this.#process = new Process({
      name: "nats-server",
      command: [program("venv", "nats-server"), "-c", this.#configuration],
    });
    const { port } = this;
    await until(() => accepts(port), { what: `nats-server on port ${port}`, timeoutMs: 10_000 });
  }

  /** Ends it without warning, as a power cut would. */
  async kill(): Promise<void> {
    this.#process?.signal("SIGKILL");
    await this.#process?.exited;
  }

  async stop(): Promise<void> {
    await this.#process?.stop();
  }
}
