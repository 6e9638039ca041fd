import { setTimeout as delay } from "node:timers/promises";
import { ServerCredentials, setLogger } from "@grpc/grpc-js";
import { createServer, type Server } from "nice-grpc";
import type { KitConfig } from "./config.js";
import { Connections } from "./connections.js";
import type { Mesh } from "./dial.js";
import type { Events } from "./events.js";
import { wrapHandlers } from "./handlers.js";
import { Health } from "./health.js";
import { growHeapUnderLoad } from "./heap.js";
import { type HttpHandler, type HttpServer, listenHttp } from "./http.js";
import { CallTable, createInterceptor } from "./interceptor.js";
import { Lease } from "./lease.js";
import { LoadMeter } from "./load.js";
import type { Logger } from "./log.js";
import type { Metrics } from "./metrics.js";
import { createReflection, REFLECTION_SERVICES, reflectionDefinition } from "./reflection.js";
import type { MethodEntry } from "./server-call.js";
import type { BoundService } from "./service.js";
import { SharedAttributes } from "./span-attributes.js";
import { hostPort, StartError } from "./start-error.js";
import type { Surroundings } from "./surroundings.js";
import type { Telemetry } from "./telemetry.js";

export interface ServeOptions {
  readonly config: KitConfig;
  readonly telemetry: Telemetry;
  readonly services: readonly BoundService[];
  readonly mesh: Mesh;
  readonly events: Events;
  /** What else the HTTP port answers, beside `/metrics` and `/healthz`. */
  readonly httpHandler?: HttpHandler;
  /** Returns when work that outlives its calls, such as publishing that they ended, is done; awaited before events close. */
  readonly background?: () => Promise<void>;
}

/** A process that takes calls. */
export interface RunningServer {
  /** The gRPC address, as host:port. */
  readonly address: string;
  /** The HTTP address, as host:port. */
  readonly httpAddress: string;
  /** What the process can do without, and how it is. */
  readonly surroundings: Surroundings;
  /** Leaves the mesh without cutting off a call; returns when nothing is left. */
  drain(): Promise<void>;
}

const KEEPALIVE_MS = 30_000;
const KEEPALIVE_TIMEOUT_MS = 20_000;

/** Serves until drained. Owns what it is given: draining closes mesh, events and telemetry too. */
export async function serve(options: ServeOptions): Promise<RunningServer> {
  const { config, telemetry, services, events } = options;
  redirectLibraryLog(telemetry.log);
  const load = new LoadMeter(config.maxInflight);
  const health = new Health(services.map(({ descriptor }) => descriptor.typeName));
  const connections = new Connections();
  const server = assemble(options, load, health, connections);
  const port = await listenGrpc(server, config);
  let lease: Lease | undefined;
  const surroundings: Surroundings = {
    get traces() {
      return telemetry.traces;
    },
    get lease() {
      return config.lease ? (lease?.state ?? "unknown") : "off";
    },
  };
  let http: HttpServer;
  try {
    const { host, httpPort: port } = config;
    const routes = httpRoutes(options, load, health, surroundings);
    http = await listenHttp({ host, port, routes, handler: options.httpHandler });
  } catch (error) {
    server.forceShutdown();
    throw error;
  }
  load.start();
  events.onChange(() => health.setEvents(events.state === "up"));
  health.setEvents(events.state === "up");
  health.setServing();
  const { log } = telemetry;
  if (config.lease) lease = new Lease({ config, port, mesh: options.mesh, load, log });
  const address = hostPort(config.host, port);
  const httpAddress = hostPort(config.host, http.port);
  growHeapUnderLoad(load);
  log.info("serving", { grpc: address, http: httpAddress, pid: process.pid });
  let drained: Promise<void> | undefined;
  return {
    address,
    httpAddress,
    surroundings,
    drain() {
      drained ??= drain({ ...options, server, connections, http, health, lease, load });
      return drained;
    },
  };
}

// grpc-js writes to stderr, where a refusal to start is one line; what it has to say belongs into the log.
function redirectLibraryLog(log: Logger): void {
  const write = (...parts: readonly unknown[]) => log.debug(parts.map(String).join(" "), { library: "grpc-js" });
  setLogger({ debug: write, info: write, error: write });
}

function assemble(
  { config, telemetry, services }: ServeOptions,
  load: LoadMeter,
  health: Health,
  connections: Connections,
): Server {
  const calls = new CallTable();
  const environment = {
    telemetry,
    load,
    maxInflight: config.maxInflight,
    maxMessageBytes: config.maxMessageBytes,
  };
  const server = createServer({
    "grpc.max_receive_message_length": config.maxMessageBytes,
    "grpc.max_send_message_length": config.maxMessageBytes,
    "grpc.max_concurrent_streams": config.maxStreams,
    "grpc.keepalive_time_ms": KEEPALIVE_MS,
    "grpc.keepalive_timeout_ms": KEEPALIVE_TIMEOUT_MS,
    "grpc.enable_channelz": 0,
    interceptors: [createInterceptor(methodTable(services, telemetry.metrics), environment, calls, connections)],
  });
  for (const service of services) {
    server.add(service.definition, wrapHandlers(service, calls) as BoundService["implementation"]);
  }
  server.add(Health.definition, health.implementation());
  const names = [
    ...services.map(({ descriptor }) => descriptor.typeName),
    Health.definition.fullName,
    ...REFLECTION_SERVICES,
  ];
  const reflection = createReflection(
    services.map(({ descriptor }) => descriptor),
    names,
  );
  server.add(reflectionDefinition("v1"), reflection);
  server.add(reflectionDefinition("v1alpha"), reflection);
  return server;
}

function methodTable(services: readonly BoundService[], metrics: Metrics): Map<string, MethodEntry> {
  const table = new Map<string, MethodEntry>();
  for (const { descriptor, tenantless } of services) {
    for (const { name } of descriptor.methods) {
      const spanName = `${descriptor.typeName}/${name}`;
      table.set(`/${spanName}`, {
        path: `/${spanName}`,
        spanName,
        attributes: new SharedAttributes({
          "rpc.system": "grpc",
          "rpc.service": descriptor.typeName,
          "rpc.method": name,
        }),
        durations: metrics.durations.method(descriptor.typeName, name),
        tenantless,
      });
    }
  }
  return table;
}

async function listenGrpc(server: Server, config: KitConfig): Promise<number> {
  const { tls } = config;
  const credentials =
    tls === undefined
      ? ServerCredentials.createInsecure()
      : ServerCredentials.createSsl(tls.ca, [{ cert_chain: tls.cert, private_key: tls.key }], true);
  try {
    return await server.listen(hostPort(config.host, config.port), credentials);
  } catch (error) {
    if (String(error).includes("EADDRINUSE")) throw StartError.portInUse("UAIT_PORT", config.host, config.port);
    throw error;
  }
}

function httpRoutes({ telemetry, events }: ServeOptions, load: LoadMeter, health: Health, surroundings: Surroundings) {
  const { metrics } = telemetry;
  return {
    "/metrics": async () => {
      metrics.inFlight.set(load.inFlight);
      return { status: 200, type: metrics.registry.contentType, body: await metrics.text() };
    },
    "/healthz": async () => ({
      status: health.serving ? 200 : 503,
      type: "application/json",
      body: JSON.stringify({
        status: health.serving ? "SERVING" : "NOT_SERVING",
        checks: { nats: events.state, jaeger: surroundings.traces, balancer: surroundings.lease },
      }),
    }),
  };
}

interface DrainOptions extends ServeOptions {
  readonly server: Server;
  readonly connections: Connections;
  readonly http: HttpServer;
  readonly health: Health;
  readonly lease: Lease | undefined;
  readonly load: LoadMeter;
}

async function drain(options: DrainOptions): Promise<void> {
  const { config, server, connections, http, health, lease, load, mesh, events, telemetry } = options;
  telemetry.log.info("draining", { in_flight: load.inFlight });
  health.setDraining();
  await Promise.all([lease?.withdraw(), delay(config.drainDelayMs)]);
  health.endWatches();
  const timer = setTimeout(() => {
    telemetry.log.warn("calls are cut off: the drain timeout passed", { in_flight: load.inFlight });
    connections.destroy();
    http.cut();
  }, config.drainTimeoutMs);
  await Promise.all([server.shutdown(), http.idle()]);
  clearTimeout(timer);
  await options.background?.();
  await events.close();
  mesh.close();
  await http.close();
  load.stop();
  telemetry.log.info("stopped");
  await telemetry.shutdown();
}
