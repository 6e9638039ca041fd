import { checkHealth, type Logger, type Mesh } from "@uait/kit";
import type { GatewayConfig } from "../config.js";
import { type DeclaredService, readCatalogue } from "./catalogue.js";
import { EnvoyAdmin } from "./envoy-admin.js";
import { MeshView } from "./mesh-view.js";
import { Sampler } from "./sampler.js";
import { Traces } from "./traces.js";

/** What the gateway sees of the mesh, until it is stopped. */
export interface Monitoring {
  /** `undefined` when the process was not told where the catalogue and Envoy are. */
  readonly view: MeshView | undefined;
  /** `undefined` when the process was not told where Jaeger is. */
  readonly traces: Traces | undefined;
  stop(): void;
}

/** Parts of a service that its own health check tells of, besides whether it serves at all. */
const PARTS = ["events"];

export function openMonitoring(options: {
  readonly config: GatewayConfig;
  readonly mesh: Mesh;
  readonly log: Logger;
  readonly now: () => number;
}): Monitoring {
  const { config, mesh, log, now } = options;
  const services = declared(config, log);
  const traces = config.jaegerUrl === undefined ? undefined : new Traces(config.jaegerUrl);
  if (services === undefined || config.envoyAdmin === undefined)
    return { view: undefined, traces, stop: () => undefined };
  const admin = new EnvoyAdmin(config.envoyAdmin);
  const sampler = new Sampler({ admin, now });
  const troublesOf = async (service: string): Promise<string[]> => {
    const answers = await Promise.all(
      PARTS.map((part) => checkHealth(mesh, service, part).catch(() => "not_serving" as const)),
    );
    return PARTS.filter((_, index) => answers[index] === "not_serving");
  };
  const view = new MeshView({ services, admin, sampler, troublesOf, infrastructure: config.infrastructure });
  return { view, traces, stop: () => sampler.stop() };
}

// A container need not have the file: keys and OpenAI's API do not need it.
function declared({ catalogue }: GatewayConfig, log: Logger): DeclaredService[] | undefined {
  if (catalogue === undefined) return undefined;
  try {
    return readCatalogue(catalogue);
  } catch (error) {
    log.warn("the catalogue cannot be read: monitoring is off", { path: catalogue, error });
    return undefined;
  }
}
