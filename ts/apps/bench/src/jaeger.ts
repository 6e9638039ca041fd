import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { CATALOGUE_FILE, JAEGER_ENVIRONMENT, jaegerConfig, type Layout, layout, loadCatalogue } from "@uait/cli";
import { accepts, freeBase, inRepository, Process, program, until } from "@uait/e2e";

/** Room for every port of a mesh. */
const PORTS = 200;

/** The collector, as the mesh runs it, on ports of the bench's own. */
export class Jaeger {
  #process: Process | undefined;

  private constructor(
    readonly layout: Layout,
    readonly configuration: string,
  ) {}

  static async start(folder: string): Promise<Jaeger> {
    const environment = { UAIT_PORT_BASE: String(await freeBase(PORTS)), UAIT_HOME: folder };
    const mesh = layout(await loadCatalogue(inRepository(CATALOGUE_FILE)), environment, inRepository());
    await mkdir(folder, { recursive: true });
    const configuration = join(folder, "jaeger.yaml");
    await writeFile(configuration, jaegerConfig({ mesh, data: folder }));
    const jaeger = new Jaeger(mesh, configuration);
    await jaeger.start();
    return jaeger;
  }

  /** Port that takes spans. */
  get otlp(): number {
    return this.layout.port("jaeger", "otlp");
  }

  get running(): boolean {
    return this.#process !== undefined;
  }

  get pid(): number {
    if (this.#process === undefined) throw new Error("Jaeger is not running");
    return this.#process.pid;
  }

  async start(): Promise<void> {
    this.#process = new Process({
      name: "jaeger",
      command: [program("bin", "jaeger"), "--config", this.configuration],
      env: JAEGER_ENVIRONMENT,
    });
    const { otlp } = this;
    await until(() => accepts(otlp), { what: "Jaeger takes spans", timeoutMs: 20_000 });
  }

  async stop(): Promise<void> {
    await this.#process?.stop();
    this.#process = undefined;
  }
}
