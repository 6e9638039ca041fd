import { type ChildProcess, spawn } from "node:child_process";
import { accessSync, constants, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";
import { freePort, waitUntil } from "./wait.js";

const REPOSITORY = fileURLToPath(new URL("../../../../", import.meta.url));

/** A real nats-server with JetStream on disk, which can be killed and started again. */
export class NatsServer {
  readonly port: number;
  readonly #directory = mkdtempSync(join(tmpdir(), "uait-nats-"));
  #process: ChildProcess | undefined;

  private constructor(port: number) {
    this.port = port;
    // Acknowledged means on disk: with the default a kill may lose what was acknowledged in the last two minutes.
    const jetstream = `jetstream { store_dir: "${this.#directory}", sync_interval: always }`;
    writeFileSync(join(this.#directory, "nats.conf"), `listen: "127.0.0.1:${port}"\n${jetstream}\n`);
  }

  /** A server that is ready. @throws Error when no nats-server can be found. */
  static async start(): Promise<NatsServer> {
    const server = await NatsServer.prepare();
    await server.restart();
    return server;
  }

  /** A server that is not running yet. */
  static async prepare(): Promise<NatsServer> {
    return new NatsServer(await freePort());
  }

  get url(): string {
    return `nats://127.0.0.1:${this.port}`;
  }

  /** Starts it, on the store that it had. */
  async restart(): Promise<void> {
    this.#process = spawn(findNatsServer(), ["-c", join(this.#directory, "nats.conf")], { stdio: "ignore" });
    await waitUntil("nats-server listens", () => canConnect(this.port));
  }

  /** Ends it as a power cut would. */
  async kill(): Promise<void> {
    await this.#end("SIGKILL");
  }

  /** Ends it and forgets its store. */
  async stop(): Promise<void> {
    await this.#end("SIGTERM");
    rmSync(this.#directory, { recursive: true, force: true });
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const child = this.#process;
    this.#process = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise((resolve) => child.once("exit", resolve));
    child.kill(signal);
    await gone;
  }
}

function findNatsServer(): string {
  const candidates = [
    process.env["UAIT_NATS_SERVER"],
    join(REPOSITORY, ".uait/bin/nats-server"),
    join(REPOSITORY, ".uait/venv/bin/nats-server"),
    ...(process.env["PATH"] ?? "").split(delimiter).map((directory) => join(directory, "nats-server")),
  ];
  const found = candidates.find((path) => path !== undefined && isExecutable(path));
  if (found !== undefined) return found;
  throw new Error("no nats-server: set UAIT_NATS_SERVER to it, or put it into .uait/bin or PATH (`make up` does)");
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

function canConnect(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}
