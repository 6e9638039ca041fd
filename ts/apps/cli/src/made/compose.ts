import { stringify } from "yaml";
import type { Catalogue, Infrastructure, Language } from "../catalogue/schema.js";
import { planOf, renderEnvoy } from "../envoy/index.js";
import { built, type Layout, layout, pathsOf, type Replica } from "../layout.js";
import { JAEGER_ENVIRONMENT, jaegerConfig, natsConfig, weaviateEnvironment } from "./infrastructure.js";
import { dataPath, keepsData, readsDescriptors, readsModels, serviceEnvironment } from "./programs.js";

/** What the compose folder is made from. */
export interface ComposeInput {
  readonly catalogue: Catalogue;
  /** Text of envoy/envoy.yaml. */
  readonly bootstrap: string;
  /** Serialised FileDescriptorSet of all contracts. */
  readonly descriptors: Uint8Array;
}

/** Where the mesh's folder is mounted in each container. */
const HOME = "/uait";
const MOUNT = `$\{UAIT_HOME:-../../.uait}`;
/** The owner of the mounted keys: they are readable by nobody else. */
const USER = `$\{UAIT_USER:-1000:1000}`;
/** Time that a container has to drain before it is killed. */
const SECONDS_OF_GRACE = "20s";
/** Jaeger numbers the images of its second generation apart: the release 1.76.0 is also 2.13.0. */
const JAEGER_IMAGE_VERSION: Readonly<Record<string, string>> = { "1.76.0": "2.13.0" };

/** The files of deploy/compose by their path within it. */
export function composeFiles({ catalogue, bootstrap, descriptors }: ComposeInput): Map<string, string> {
  const mesh = composeLayout(catalogue);
  const envoy = planOf(catalogue, mesh, {
    files: { folder: "/etc/envoy", descriptors: `${HOME}/run/descriptors.binpb` },
    mutualTls: true,
    edgeHost: "0.0.0.0",
    meshHost: "0.0.0.0",
  });
  return new Map([
    ["compose.yaml", composeFile(catalogue, mesh)],
    ["nats.conf", natsConfig({ mesh, data: "/data" })],
    ["jaeger.yaml", jaegerConfig({ mesh, data: "/data" })],
    ...[...renderEnvoy(envoy, bootstrap, descriptors)].map(([path, text]) => [`envoy/${path}`, text] as const),
  ]);
}

/** The mesh of the compose file: names for addresses, and mutual TLS, since its hops cross a network. */
function composeLayout(catalogue: Catalogue): Layout {
  const local = layout(catalogue, {}, "/");
  return {
    ...local,
    bind: "0.0.0.0",
    tls: true,
    host: (name) => name,
    replicas: local.replicas.map((replica) => ({ ...replica, host: replica.process })),
    paths: { ...pathsOf("/", HOME), models: `${HOME}/models` },
  };
}

function composeFile(catalogue: Catalogue, mesh: Layout): string {
  const services = {
    ...Object.fromEntries(
      catalogue.infrastructure.map((part) => [part.name, { ...infrastructure(part, mesh), ...limits(part) }]),
    ),
    ...Object.fromEntries(
      built(mesh).map((replica) => [replica.process, { ...service(mesh, replica), ...limits(replica.service) }]),
    ),
  };
  return `# Made from deploy/mesh.yaml by \`make made\`: change that, not this. README.md beside it says how to use it.\n${stringify(
    { name: "uait", services, networks: { mesh: {} }, volumes: { nats: {}, weaviate: {} } },
    { lineWidth: 0, aliasDuplicateObjects: false },
  )}`;
}

function limits({ resources }: Pick<Infrastructure, "resources">): object {
  return {
    restart: "unless-stopped",
    networks: ["mesh"],
    deploy: { resources: { limits: { cpus: String(resources.cpu), memory: `${resources.memory_mib}M` } } },
  };
}

function infrastructure(part: Infrastructure, mesh: Layout): object {
  const published = (name: string): string => `127.0.0.1:${mesh.port(part.name, name)}:${mesh.port(part.name, name)}`;
  const url = `http://127.0.0.1:${mesh.port(part.name, part.health.port)}${part.health.path}`;
  switch (part.name) {
    case "nats":
      return {
        image: `nats:${part.version}-alpine`,
        command: ["-c", "/etc/nats/nats.conf"],
        volumes: ["./nats.conf:/etc/nats/nats.conf:ro", "nats:/data"],
        healthcheck: healthcheck(["CMD", "wget", "-q", "--spider", url]),
      };
    case "jaeger":
      return {
        image: `jaegertracing/jaeger:${JAEGER_IMAGE_VERSION[part.version] ?? part.version}`,
        command: ["--config", "/etc/jaeger/jaeger.yaml"],
        environment: JAEGER_ENVIRONMENT,
        volumes: ["./jaeger.yaml:/etc/jaeger/jaeger.yaml:ro"],
        ports: [published("query")],
      };
    case "weaviate":
      return {
        image: `semitechnologies/weaviate:${part.version}`,
        command: ["--scheme", "http", "--host", mesh.bind, "--port", String(mesh.port("weaviate", "http"))],
        environment: weaviateEnvironment({ mesh, data: "/data" }),
        volumes: ["weaviate:/data"],
        healthcheck: healthcheck(["CMD", "wget", "-q", "--spider", url]),
      };
    case "envoy":
      return {
        image: `envoyproxy/envoy:v${part.version}`,
        user: USER,
        command: [
          "envoy",
          "-c",
          "/etc/envoy/envoy.yaml",
          "--log-level",
          "warning",
          "--file-flush-interval-msec",
          "500",
        ],
        volumes: ["./envoy:/etc/envoy:ro", `${MOUNT}:${HOME}:ro`],
        ports: [published("edge"), published("edge_tls")],
        stop_grace_period: SECONDS_OF_GRACE,
        healthcheck: healthcheck(["CMD", "bash", "-c", httpProbe(mesh.port("envoy", "admin"), part.health.path)]),
      };
  }
}

const DOCKERFILES: Readonly<Record<Language, string>> = {
  typescript: "deploy/docker/typescript.Dockerfile",
  go: "deploy/docker/go.Dockerfile",
  rust: "deploy/docker/rust.Dockerfile",
  python: "deploy/docker/python.Dockerfile",
};

function service(mesh: Layout, replica: Replica): object {
  const { service } = replica;
  return {
    image: `uait/${service.name}`,
    build: {
      context: "../..",
      dockerfile: DOCKERFILES[service.language],
      args: { SERVICE: service.folder ?? service.name },
    },
    user: USER,
    read_only: true,
    tmpfs: ["/tmp"],
    environment: serviceEnvironment(mesh, replica),
    volumes: [
      `${MOUNT}/tls:${HOME}/tls:ro`,
      ...(readsDescriptors(service) ? [`${MOUNT}/run:${HOME}/run:ro`] : []),
      ...(readsModels(service) ? [`${MOUNT}/models:${HOME}/models:ro`] : []),
      ...(keepsData(service) ? [`${MOUNT}/data/${replica.process}:${dataPath(mesh, replica)}`] : []),
    ],
    depends_on: { nats: { condition: "service_healthy" } },
    stop_grace_period: SECONDS_OF_GRACE,
  };
}

function healthcheck(test: readonly string[]): object {
  return { test, interval: "5s", timeout: "3s", retries: 3, start_period: "30s" };
}

/** An HTTP question in bash alone, for images without an HTTP client. */
function httpProbe(port: number, path: string): string {
  return `exec 3<>/dev/tcp/127.0.0.1/${port} && printf 'GET ${path} HTTP/1.0\\r\\n\\r\\n' >&3 && grep -q ' 200 ' <&3`;
}
