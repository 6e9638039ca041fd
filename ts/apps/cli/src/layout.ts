import { resolve } from "node:path";
import { httpPort, REPLICA_STRIDE } from "./catalogue/rules.js";
import type { Catalogue, Infrastructure, Service } from "./catalogue/schema.js";
import { Failure } from "./failure.js";

/** One process of a service: its addresses in this mesh. */
export interface Replica {
  /** Process name: the service's for the first replica, then `<service>-1` and on. */
  readonly process: string;
  /** The service of the catalogue that it runs. */
  readonly service: Service;
  /** Number of the replica, from 0. */
  readonly index: number;
  /** Address at which others reach it. */
  readonly host: string;
  readonly port: number;
  readonly httpPort: number;
}

/** Where one mesh lives: every address and every path of it. */
export interface Layout {
  /** Address that processes listen on. */
  readonly bind: string;
  /** Whether services speak mutual TLS with the certificates of `paths.tls`. */
  readonly tls: boolean;
  /** The user's folders and lists of models, beside the installed ones of `paths.models`. */
  readonly moreModels: readonly string[];
  /** Every service's replicas in catalogue order, those in state `contract` too. */
  readonly replicas: readonly Replica[];
  /** Host of a piece of infrastructure. */
  host(name: Infrastructure["name"]): string;
  /** A named port of a piece of infrastructure. */
  port(name: Infrastructure["name"], port: string): number;
  readonly paths: Paths;
}

/** Files of one mesh. `root` and `install` belong to the checkout, all else to the mesh. */
export interface Paths {
  /** The checkout. */
  readonly root: string;
  /** Installed tools and built programs of the checkout: `<root>/.uait`. */
  readonly install: string;
  /** Installed models of the checkout. */
  readonly models: string;
  /** The mesh's own folder: UAIT_HOME. */
  readonly home: string;
  /** Rendered configuration, pid files and sockets. */
  readonly run: string;
  readonly data: string;
  readonly logs: string;
  readonly jwks: string;
  readonly devKey: string;
  readonly tls: {
    readonly ca: string;
    readonly edge: string;
    readonly edgeKey: string;
    readonly service: string;
    readonly serviceKey: string;
  };
}

/** The part of the process environment that moves a mesh. */
export interface LayoutEnvironment {
  readonly UAIT_PORT_BASE?: string | undefined;
  readonly UAIT_HOME?: string | undefined;
  /** `on` or `off`; off when unset. */
  readonly UAIT_TLS?: string | undefined;
  /** Models beside the installed ones: folders and lists, separated by colons. */
  readonly UAIT_MODELS?: string | undefined;
}

/**
 * Lays a mesh out. Without `UAIT_PORT_BASE` each port is the catalogue's; with it every port of the mesh is the base plus the
 * port's place in the catalogue (infrastructure first, then each replica's gRPC and HTTP port), so that two meshes never meet.
 *
 * @throws Failure `ENVIRONMENT_INVALID` for a value outside its range
 */
export function layout(catalogue: Catalogue, environment: LayoutEnvironment, root: string): Layout {
  const place = placer(catalogue, environment.UAIT_PORT_BASE);
  const infrastructure = new Map<string, number>();
  for (const part of catalogue.infrastructure)
    for (const [name, port] of Object.entries(part.ports)) infrastructure.set(`${part.name} ${name}`, place(port));
  const replicas: Replica[] = [];
  for (const service of catalogue.services) {
    for (let index = 0; index < service.replicas; index++) {
      replicas.push({
        process: index === 0 ? service.name : `${service.name}-${index}`,
        service,
        index,
        host: "127.0.0.1",
        port: place(service.port + index * REPLICA_STRIDE),
        httpPort: place(httpPort(service) + index * REPLICA_STRIDE),
      });
    }
  }
  return {
    bind: "127.0.0.1",
    tls: switchOf("UAIT_TLS", environment.UAIT_TLS),
    replicas,
    host: () => "127.0.0.1",
    port: (name, port) => {
      const found = infrastructure.get(`${name} ${port}`);
      if (found === undefined) throw new Error(`${name} has no port ${port}`);
      return found;
    },
    moreModels: (environment.UAIT_MODELS ?? "").split(":").flatMap((path) => (path === "" ? [] : [resolve(path)])),
    paths: pathsOf(root, environment.UAIT_HOME || resolve(root, ".uait")),
  };
}

/** The replicas that have a process. */
export function built(mesh: Layout): Replica[] {
  return mesh.replicas.filter(({ service }) => service.state === "built");
}

/** The files of a mesh whose folder is `home`; a template such as `%(ENV_UAIT_HOME)s` is kept as it is. */
export function pathsOf(root: string, home: string): Paths {
  return {
    root,
    install: `${root}/.uait`,
    models: `${root}/.uait/models`,
    home,
    run: `${home}/run`,
    data: `${home}/data`,
    logs: `${home}/logs`,
    jwks: `${home}/keys/jwks.json`,
    devKey: `${home}/dev.key`,
    tls: {
      ca: `${home}/tls/ca.pem`,
      edge: `${home}/tls/edge.pem`,
      edgeKey: `${home}/tls/edge-key.pem`,
      service: `${home}/tls/service.pem`,
      serviceKey: `${home}/tls/service-key.pem`,
    },
  };
}

function switchOf(name: string, value: string | undefined): boolean {
  if (value === undefined || value === "" || value === "off") return false;
  if (value === "on") return true;
  throw new Failure({
    reason: "ENVIRONMENT_INVALID",
    message: `${name}=${value}: must be on or off`,
    remedy: `unset ${name}`,
  });
}

function placer(catalogue: Catalogue, base: string | undefined): (port: number) => number {
  if (base === undefined || base === "") return (port) => port;
  const count =
    catalogue.infrastructure.reduce((sum, part) => sum + Object.keys(part.ports).length, 0) +
    catalogue.services.reduce((sum, service) => sum + 2 * service.replicas, 0);
  const first = Number(base);
  if (!/^\d+$/.test(base) || first < 1024 || first + count > 65_536) {
    throw new Failure({
      reason: "ENVIRONMENT_INVALID",
      message: `UAIT_PORT_BASE=${base}: must be 1024 to ${65_536 - count}`,
      remedy: `choose a base with ${count} free ports after it, such as UAIT_PORT_BASE=20000`,
    });
  }
  let next = first;
  return () => next++;
}
