import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CATALOGUE_FILE, loadCatalogue } from "@uait/cli";
import { addressOf, type Backend } from "@uait/cli/envoy";
import { FakeMesh } from "@uait/gateway/testing";
import { AuthServiceDefinition } from "@uait/gen/uait/gateway/v1/auth.js";
import { MonitoringServiceDefinition } from "@uait/gen/uait/gateway/v1/monitoring.js";
import { LlmRouterServiceDefinition } from "@uait/gen/uait/llm_router/v1/llm_router.js";
import { OrchestratorServiceDefinition } from "@uait/gen/uait/orchestrator/v1/orchestrator.js";
import { type Channel, type Client, createChannel, createClient } from "nice-grpc";
import { HealthDefinition, HealthServiceImpl } from "nice-grpc-server-health";
import { Nats } from "../harness/nats.js";
import { freePorts } from "../harness/network.js";
import { Process } from "../harness/process.js";
import { inRepository } from "../harness/repository.js";
import { Envoy } from "./envoy.js";
import { type Home, makeHome } from "./rendered.js";

/** Envoy over a real gateway with a real NATS, whose router and orchestrator are the test's. */
export class GatewayScene {
  #gateway: Process | undefined;
  readonly #channel: Channel;

  private constructor(
    readonly home: Home,
    readonly envoy: Envoy,
    /** llm-router and orchestrator. */
    readonly mesh: FakeMesh,
    private readonly nats: Nats,
    private readonly folder: string,
    private readonly ports: { readonly grpc: number; readonly http: number },
  ) {
    this.#channel = createChannel(envoy.address("edge"));
  }

  /** Everything but the gateway, which `startGateway` starts: Envoy is there before it. */
  static async open(): Promise<GatewayScene> {
    const catalogue = await loadCatalogue(inRepository(CATALOGUE_FILE));
    const routes = catalogue.services.find(({ name }) => name === "gateway")?.http ?? [];
    const [grpc, http, natsPort] = await freePorts(3);
    if (grpc === undefined || http === undefined || natsPort === undefined) throw new Error("no free ports");
    const ports = { grpc, http };
    const host = "127.0.0.1";
    const mesh = await FakeMesh.start((server) => server.add(HealthDefinition, HealthServiceImpl()));
    const fake = (name: string, grpc: string): Backend => ({
      ...{ name, area: name, grpc: [grpc], healthService: "" },
      addresses: [addressOf(mesh.address)],
    });
    const backends: Backend[] = [
      {
        ...{ name: "gateway", area: "gateway", healthService: "" },
        grpc: [AuthServiceDefinition.fullName, MonitoringServiceDefinition.fullName],
        addresses: [{ host, port: ports.grpc }],
        http: { addresses: [{ host, port: ports.http }], routes },
      },
      fake("llm-router", LlmRouterServiceDefinition.fullName),
      fake("orchestrator", OrchestratorServiceDefinition.fullName),
    ];
    const home = await makeHome();
    const envoy = await Envoy.start(home, { backends });
    const folder = await mkdtemp(join(tmpdir(), "uait-gateway-"));
    const nats = await Nats.start(folder, natsPort);
    return new GatewayScene(home, envoy, mesh, nats, folder, ports);
  }

  /** Starts the gateway and waits until it serves. */
  async startGateway(): Promise<void> {
    this.#gateway = new Process({
      name: "gateway",
      command: [process.execPath, inRepository("ts/services/gateway/dist/main.js")],
      env: {
        UAIT_PORT: String(this.ports.grpc),
        UAIT_HTTP_PORT: String(this.ports.http),
        UAIT_MESH: this.envoy.address("mesh"),
        UAIT_NATS_URL: this.nats.url,
        UAIT_LEASE: "off",
        UAIT_CATALOGUE: inRepository(CATALOGUE_FILE),
        UAIT_ENVOY_ADMIN: new URL(this.envoy.admin).host,
        UAIT_HEALTH_URLS: `envoy=${this.envoy.admin}/ready,nats=http://127.0.0.1:9/healthz`,
        UAIT_DRAIN_DELAY_MS: "0",
        OTEL_SDK_DISABLED: "true",
      },
    });
    await this.#gateway.serving();
  }

  async stopGateway(): Promise<void> {
    await this.#gateway?.stop();
  }

  /** URL of the plain edge. */
  get url(): string {
    return `http://${this.envoy.address("edge")}`;
  }

  /** AuthService at the edge. */
  get auth(): Client<typeof AuthServiceDefinition> {
    return createClient(AuthServiceDefinition, this.#channel);
  }

  /** MonitoringService at the edge. */
  get monitoring(): Client<typeof MonitoringServiceDefinition> {
    return createClient(MonitoringServiceDefinition, this.#channel);
  }

  async close(): Promise<void> {
    this.#channel.close();
    await this.stopGateway();
    await this.envoy.stop();
    await this.mesh.stop();
    await this.nats.stop();
    for (const folder of [this.home.folder, this.folder]) await rm(folder, { recursive: true, force: true });
  }
}
