import { rm } from "node:fs/promises";
import { addressOf, type Backend } from "@uait/cli/envoy";
import { type EchoServiceClient, EchoServiceDefinition } from "@uait/gen/uait/echo/v1/echo.js";
import { type Channel, ChannelCredentials, createChannel, createClient } from "nice-grpc";
import { servers } from "../conformance/languages.js";
import { Process } from "../harness/process.js";
import { Envoy } from "./envoy.js";
import { Recorder } from "./recorder.js";
import { type EnvoyOptions, type Home, makeHome } from "./rendered.js";

/** Catalogue names of the scene's two implementations of the echo service; the first is the default. */
export const REAL = "echo-ts";
export const RECORDER = "echo-go";

/** Envoy over a real echo service and a recorder that takes the place of a second one. */
export class Scene {
  readonly #channels: Channel[] = [];

  private constructor(
    readonly home: Home,
    readonly envoy: Envoy,
    readonly recorder: Recorder,
    private readonly echo: Process,
  ) {}

  static async open(options: Omit<EnvoyOptions, "backends"> = {}): Promise<Scene> {
    const server = servers.find(({ name }) => name === REAL);
    if (server === undefined) throw new Error(`${REAL} is no conformance server`);
    const { command, cwd } = server.start();
    const home = await makeHome();
    const { tls } = home;
    const environment = {
      ...{ UAIT_PORT: "0", UAIT_HTTP_PORT: "0", UAIT_LEASE: "off", UAIT_NATS_URL: "off", OTEL_SDK_DISABLED: "true" },
      // Envoy, its only caller, is gone when it stops.
      UAIT_DRAIN_DELAY_MS: "0",
      ...(options.mutualTls ? { UAIT_TLS_CERT: tls.service, UAIT_TLS_KEY: tls.serviceKey, UAIT_TLS_CA: tls.ca } : {}),
    };
    const echo = new Process({ name: REAL, command, cwd, env: environment });
    const recorder = await Recorder.start();
    try {
      const { grpc } = await echo.serving();
      const backends = [backend(REAL, addressOf(grpc)), backend(RECORDER, recorder.address)];
      return new Scene(home, await Envoy.start(home, { ...options, backends }), recorder, echo);
    } catch (error) {
      await echo.stop();
      await recorder.stop();
      await rm(home.folder, { recursive: true, force: true });
      throw error;
    }
  }

  /** URL of the plain edge. */
  get url(): string {
    return `http://${this.envoy.address("edge")}`;
  }

  /** A client through one of the listeners. */
  client(listener: "edge" | "edge-tls" | "mesh", credentials = ChannelCredentials.createInsecure()): EchoServiceClient {
    const channel = createChannel(this.envoy.address(listener), credentials);
    this.#channels.push(channel);
    return createClient(EchoServiceDefinition, channel);
  }

  async close(): Promise<void> {
    for (const channel of this.#channels) channel.close();
    await this.envoy.stop();
    await this.echo.stop();
    await this.recorder.stop();
    await rm(this.home.folder, { recursive: true, force: true });
  }
}

/** An echo service for Envoy to route to. */
export function backend(name: string, ...addresses: Backend["addresses"]): Backend {
  return { name, area: "echo", grpc: [EchoServiceDefinition.fullName], healthService: "", addresses };
}
