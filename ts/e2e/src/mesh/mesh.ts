import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { promisify } from "node:util";
import {
  CATALOGUE_FILE,
  type Catalogue,
  type Layout,
  layout,
  loadCatalogue,
  Supervisor,
  serviceEnvironment,
} from "@uait/cli";
import { inject } from "vitest";
import { servers } from "../conformance/languages.js";
import { Process } from "../harness/process.js";
import { inRepository, program } from "../harness/repository.js";

const execute = promisify(execFile);

/** Longest that the supervisor may take to stop a process: it drains first. */
const SUPERVISOR_MS = 30_000;

/** The mesh that the tests of this folder share. */
export class Mesh {
  readonly #supervisor: Supervisor;

  private constructor(
    readonly catalogue: Catalogue,
    readonly layout: Layout,
    /** The development key: tenant `dev`, every scope. */
    readonly key: string,
  ) {
    this.#supervisor = new Supervisor(layout);
  }

  static async open(): Promise<Mesh> {
    const catalogue = await loadCatalogue(inRepository(CATALOGUE_FILE));
    const mesh = layout(catalogue, inject("mesh"), inRepository());
    return new Mesh(catalogue, mesh, (await readFile(mesh.paths.devKey, "utf8")).trim());
  }

  /** host:port of the edge, for gRPC, gRPC-web and REST. */
  get edge(): string {
    return this.address("envoy", "edge");
  }

  /** host:port of a piece of infrastructure. */
  address(name: Parameters<Layout["port"]>[0], port: string): string {
    return `${this.layout.host(name)}:${this.layout.port(name, port)}`;
  }

  get authorization(): Readonly<Record<string, string>> {
    return { authorization: `Bearer ${this.key}` };
  }

  /** Runs grpcurl against the edge and returns what it printed. */
  async grpcurl(...args: string[]): Promise<string> {
    const { stdout } = await execute(program("bin", "grpcurl"), ["-plaintext", ...args]);
    return stdout;
  }

  /** The processes that the supervisor runs, each with its process id. */
  async running(): Promise<Map<string, number>> {
    const states = await this.#supervisor.states(AbortSignal.timeout(SUPERVISOR_MS));
    return new Map(
      states.flatMap(({ name, state, pid }) => (state === "RUNNING" && pid ? [[name, pid] as const] : [])),
    );
  }

  /** Has the supervisor stop a process; it has ended afterwards. */
  async stop(process: string): Promise<void> {
    await this.#supervisor.stopProcess(process, AbortSignal.timeout(SUPERVISOR_MS));
  }

  /** Has the supervisor start a process. */
  async start(process: string): Promise<void> {
    await this.#supervisor.startProcess(process, AbortSignal.timeout(SUPERVISOR_MS));
  }

  /** Starts one more process of an echo service on free ports; it joins by its lease alone. */
  replica(service: string, environment: Readonly<Record<string, string>> = {}): Process {
    const server = servers.find(({ name }) => name === service);
    const replica = this.layout.replicas.find((candidate) => candidate.process === service);
    if (server === undefined || replica === undefined) throw new Error(`no echo service is named ${service}`);
    return new Process({
      name: `${service} (another)`,
      ...server.start(),
      env: { ...serviceEnvironment(this.layout, replica), UAIT_PORT: "0", UAIT_HTTP_PORT: "0", ...environment },
    });
  }
}
