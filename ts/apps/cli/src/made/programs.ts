import { isIP } from "node:net";
import { CATALOGUE_FILE } from "../catalogue/load.js";
import type { Infrastructure, Layer, Service } from "../catalogue/schema.js";
import { built, type Layout, type Replica } from "../layout.js";
import { pythonPrograms } from "../tools/python.js";
import { JAEGER_ENVIRONMENT, weaviateEnvironment } from "./infrastructure.js";

/** One process as the supervisor runs it. */
export interface Program {
  readonly name: string;
  readonly command: readonly string[];
  readonly directory: string;
  readonly environment: Readonly<Record<string, string>>;
  /** Low starts first and stops last. */
  readonly priority: number;
  /** Seconds between SIGTERM and SIGKILL. */
  readonly stopSeconds: number;
}

/** ms after SIGTERM in which health says NOT_SERVING and calls are still taken. */
const DRAIN_DELAY_MS = 1000;
/** ms after that in which calls in flight may end. */
const DRAIN_TIMEOUT_MS = 10_000;
/** Seconds beyond the drain before a process is killed. */
const STOP_MARGIN_SECONDS = 5;

/** Order of start; the reverse is the order of stopping: callers before those they call, all of them before Envoy. */
const PRIORITY: Readonly<Record<Layer | "infrastructure" | "envoy", number>> = {
  infrastructure: 100,
  envoy: 200,
  compute: 300,
  data: 400,
  orchestration: 500,
  edge: 600,
};

/** Every process of the mesh. */
export function programs(mesh: Layout): Program[] {
  return [...infrastructurePrograms(mesh), ...built(mesh).map((replica) => servicePrograms(mesh, replica))];
}

/** Path of a compiled service. */
export function binaryPath(mesh: Layout, service: Service): string {
  return `${mesh.paths.install}/build/${service.name}`;
}

/** The folder of a service, from the root of the repository. */
export function folderOf(service: Service): string {
  const language = service.language === "typescript" ? "ts" : service.language;
  const folder = service.folder ?? service.name;
  return `${language}/services/${service.language === "python" ? folder.replaceAll("-", "_") : folder}`;
}

/** The environment by which the kit finds its place in the mesh (CONTRIBUTING.md, Environment). */
export function serviceEnvironment(mesh: Layout, replica: Replica): Record<string, string> {
  return {
    UAIT_SERVICE: replica.service.name,
    UAIT_HOST: mesh.bind,
    UAIT_PORT: String(replica.port),
    UAIT_HTTP_PORT: String(replica.httpPort),
    UAIT_MESH: `${mesh.host("envoy")}:${mesh.port("envoy", "mesh")}`,
    UAIT_NATS_URL: `nats://${mesh.host("nats")}:${mesh.port("nats", "client")}`,
    UAIT_DRAIN_DELAY_MS: String(DRAIN_DELAY_MS),
    UAIT_DRAIN_TIMEOUT_MS: String(DRAIN_TIMEOUT_MS),
    OTEL_EXPORTER_OTLP_ENDPOINT: `http://${mesh.host("jaeger")}:${mesh.port("jaeger", "otlp")}`,
    ...(mesh.tls ? tlsEnvironment(mesh) : {}),
    ...Object.fromEntries(
      Object.entries(replica.service.environment).map(([key, value]) => [key, filled(value, mesh, replica)]),
    ),
  };
}

/** A value of the catalogue's `environment` with its placeholder filled in. */
function filled(value: string, mesh: Layout, replica: Replica): string {
  switch (value) {
    case "{descriptors}":
      return descriptorPath(mesh);
    case "{catalogue}":
      return `${mesh.paths.root}/${CATALOGUE_FILE}`;
    case "{models}":
      return [mesh.paths.models, ...mesh.moreModels].join(":");
    case "{data}":
      return dataPath(mesh, replica);
    case "{seeds}":
      // EDS takes addresses alone: where a mesh has host names, Envoy's static clusters stand in until leases come.
      return built(mesh)
        .filter(({ service, host }) => service !== replica.service && isIP(host) !== 0)
        .map(({ service, host, port }) => `${service.name}=${host}:${port}`)
        .join(",");
    default:
      return value.replaceAll(ADDRESS, (_, name: Infrastructure["name"], port: string) => {
        return `${mesh.host(name)}:${mesh.port(name, port)}`;
      });
  }
}

/** A port of a piece of infrastructure inside a value, such as `{weaviate.http}`. */
const ADDRESS = /\{(nats|jaeger|weaviate|envoy)\.([a-z_]+)\}/g;

/** Whether a service keeps files of its own. */
export function keepsData({ environment }: Service): boolean {
  return Object.values(environment).includes("{data}");
}

/** Folder of the files that a process keeps; it outlives the mesh. */
export function dataPath(mesh: Layout, replica: Replica): string {
  return `${mesh.paths.data}/${replica.process}`;
}

/** Whether a service reads the whole contract. */
export function readsDescriptors({ environment }: Service): boolean {
  return Object.values(environment).includes("{descriptors}");
}

/** Whether a service runs the installed models. */
export function readsModels({ environment }: Service): boolean {
  return Object.values(environment).includes("{models}");
}

/** Path of the whole contract as a FileDescriptorSet. */
export function descriptorPath(mesh: Layout): string {
  return `${mesh.paths.run}/descriptors.binpb`;
}

function tlsEnvironment({ paths: { tls } }: Layout): Record<string, string> {
  return { UAIT_TLS_CERT: tls.service, UAIT_TLS_KEY: tls.serviceKey, UAIT_TLS_CA: tls.ca };
}

function infrastructurePrograms(mesh: Layout): Program[] {
  const { run, data, install, root } = mesh.paths;
  const { nats, envoy } = pythonPrograms(install);
  const common = { directory: root, environment: {}, priority: PRIORITY.infrastructure, stopSeconds: 20 };
  return [
    { ...common, name: "nats", command: [nats, "-c", `${run}/nats.conf`] },
    {
      ...common,
      name: "jaeger",
      command: [`${install}/bin/jaeger`, "--config", `${run}/jaeger.yaml`],
      environment: JAEGER_ENVIRONMENT,
    },
    {
      ...common,
      name: "weaviate",
      command: [
        `${install}/bin/weaviate-server`,
        ...["--scheme", "http", "--host", mesh.bind, "--port", String(mesh.port("weaviate", "http"))],
      ],
      environment: weaviateEnvironment({ mesh, data: `${data}/weaviate` }),
    },
    {
      ...common,
      name: "envoy",
      // The base id keeps two Envoys of one machine apart; the drain time is what `down` waits for; without the flush interval a line
      // of the access log shows up to 10 s late.
      command: [
        envoy,
        ...["-c", `${run}/envoy/envoy.yaml`, "--use-dynamic-base-id", "--log-level", "warning"],
        ...["--drain-time-s", "5", "--parent-shutdown-time-s", "10", "--file-flush-interval-msec", "500"],
      ],
      priority: PRIORITY.envoy,
    },
  ];
}

function servicePrograms(mesh: Layout, replica: Replica): Program {
  const { service } = replica;
  const { root } = mesh.paths;
  return {
    name: replica.process,
    command: serviceCommand(mesh, service),
    directory: service.language === "python" ? `${root}/python` : root,
    environment: serviceEnvironment(mesh, replica),
    priority: PRIORITY[service.layer],
    stopSeconds: (DRAIN_DELAY_MS + DRAIN_TIMEOUT_MS) / 1000 + STOP_MARGIN_SECONDS,
  };
}

function serviceCommand(mesh: Layout, service: Service): string[] {
  const { root, install } = mesh.paths;
  const folder = folderOf(service);
  switch (service.language) {
    case "typescript":
      return ["node", `${root}/${folder}/dist/main.js`];
    case "python":
      return [pythonPrograms(install).python, "-m", folder.replace("python/", "").replaceAll("/", ".")];
    case "go":
    case "rust":
      return [binaryPath(mesh, service)];
  }
}
