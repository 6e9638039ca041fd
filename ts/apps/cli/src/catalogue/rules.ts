import { type Catalogue, LAYERS, type Service } from "./schema.js";

/** Most calls in a row, counted from the service that Envoy's edge calls. */
export const MAX_DEPTH = 4;

/** A rule that the catalogue breaks: where, and what to change. */
export interface Violation {
  readonly path: readonly (string | number)[];
  readonly message: string;
}

const required: Readonly<Record<Catalogue["infrastructure"][number]["name"], readonly string[]>> = {
  nats: ["client", "monitor"],
  jaeger: ["otlp", "query_grpc", "query", "health"],
  weaviate: ["http", "grpc", "gossip", "data", "raft", "raft_rpc"],
  envoy: ["edge", "edge_tls", "mesh", "admin"],
};

/** HTTP port of a service's first replica. */
export function httpPort(service: Service): number {
  return service.http_port ?? service.port + 10_000;
}

/** Distance between the ports of one replica and the next. */
export const REPLICA_STRIDE = 200;

/** Every rule that no single field can state. */
export function violations(catalogue: Catalogue): Violation[] {
  return [...names(catalogue), ...ports(catalogue), ...folders(catalogue), ...calls(catalogue)];
}

function names(catalogue: Catalogue): Violation[] {
  const found: Violation[] = [];
  const seen = new Set<string>();
  for (const kind of ["infrastructure", "services"] as const) {
    catalogue[kind].forEach(({ name }, i) => {
      if (seen.has(name)) found.push({ path: [kind, i, "name"], message: `${name} is in the catalogue twice` });
      seen.add(name);
    });
  }
  catalogue.infrastructure.forEach((part, i) => {
    for (const port of required[part.name]) {
      if (part.ports[port] === undefined)
        found.push({ path: ["infrastructure", i, "ports"], message: `${part.name} needs the port ${port}` });
    }
    for (const port of Object.keys(part.ports)) {
      if (!required[part.name].includes(port))
        found.push({ path: ["infrastructure", i, "ports", port], message: `${part.name} has no port ${port}` });
    }
    if (part.ports[part.health.port] === undefined)
      found.push({
        path: ["infrastructure", i, "health", "port"],
        message: `${part.name} has no port ${part.health.port}`,
      });
  });
  if (!catalogue.services.some(({ name }) => name === catalogue.lease))
    found.push({ path: ["lease"], message: `${catalogue.lease} is not a service of the catalogue` });
  return found;
}

function ports(catalogue: Catalogue): Violation[] {
  const found: Violation[] = [];
  const owners = new Map<number, string>();
  const claim = (port: number, owner: string, path: readonly (string | number)[]): void => {
    const other = owners.get(port);
    if (port > 65_535)
      found.push({ path, message: `port ${port} of ${owner} is past 65535: give http_port, or fewer replicas` });
    else if (other === undefined) owners.set(port, owner);
    else found.push({ path, message: `port ${port} of ${owner} is taken by ${other}` });
  };
  catalogue.infrastructure.forEach((part, i) => {
    for (const [name, port] of Object.entries(part.ports))
      claim(port, `${part.name} (${name})`, ["infrastructure", i, "ports", name]);
  });
  catalogue.services.forEach((service, i) => {
    for (let replica = 0; replica < service.replicas; replica++) {
      const label = replica === 0 ? service.name : `${service.name} replica ${replica}`;
      claim(service.port + replica * REPLICA_STRIDE, `${label} (gRPC)`, ["services", i, "port"]);
      claim(httpPort(service) + replica * REPLICA_STRIDE, `${label} (HTTP)`, [
        "services",
        i,
        service.http_port === undefined ? "port" : "http_port",
      ]);
    }
  });
  return found;
}

function folders(catalogue: Catalogue): Violation[] {
  const owners = new Map<string, string>();
  return catalogue.services.flatMap((service, i) => {
    const folder = `${service.language}/services/${service.folder ?? service.name}`;
    const other = owners.get(folder);
    owners.set(folder, service.name);
    return other === undefined
      ? []
      : [{ path: ["services", i, "folder"], message: `${service.name} and ${other} share the folder ${folder}` }];
  });
}

function calls(catalogue: Catalogue): Violation[] {
  const found: Violation[] = [];
  const byName = new Map(catalogue.services.map((service) => [service.name, service]));
  catalogue.services.forEach((caller, i) => {
    caller.calls.forEach((call, j) => {
      const path = ["services", i, "calls", j];
      const callee = byName.get(call.service);
      if (callee === undefined) {
        found.push({ path, message: `${caller.name} calls ${call.service}, which is not a service of the catalogue` });
        return;
      }
      const broken = directionBroken(caller, callee);
      if (broken !== undefined && !("exception" in call))
        found.push({ path, message: `${broken}; turn the call round, or give its reason as exception` });
      if (broken === undefined && "exception" in call)
        found.push({ path, message: `${caller.name} may call ${callee.name} without an exception` });
    });
  });
  if (found.length === 0) {
    const longest = longestPath(byName);
    if (longest === "cycle") found.push({ path: ["services"], message: `calls go round in a circle` });
    else if (longest.length - 1 > MAX_DEPTH)
      found.push({
        path: ["services"],
        message: `${longest.join(" -> ")} is ${longest.length - 1} calls deep; at most ${MAX_DEPTH}`,
      });
  }
  return found;
}

function directionBroken(caller: Service, callee: Service): string | undefined {
  if (caller.name === callee.name) return `${caller.name} calls itself`;
  if (LAYERS.indexOf(caller.layer) > LAYERS.indexOf(callee.layer))
    return `${caller.name} (${caller.layer}) calls up to ${callee.name} (${callee.layer})`;
  if (caller.layer === "compute") return `${caller.name} calls ${callee.name}, but compute services call nobody`;
  return undefined;
}

function longestPath(byName: ReadonlyMap<string, Service>): string[] | "cycle" {
  const done = new Map<string, string[]>();
  const open = new Set<string>();
  const from = (name: string): string[] | "cycle" => {
    const known = done.get(name);
    if (known !== undefined) return known;
    if (open.has(name)) return "cycle";
    open.add(name);
    let best: string[] = [];
    for (const { service } of byName.get(name)?.calls ?? []) {
      const path = from(service);
      if (path === "cycle") return "cycle";
      if (path.length > best.length) best = path;
    }
    open.delete(name);
    done.set(name, [name, ...best]);
    return [name, ...best];
  };
  let longest: string[] = [];
  for (const name of byName.keys()) {
    const path = from(name);
    if (path === "cycle") return "cycle";
    if (path.length > longest.length) longest = path;
  }
  return longest;
}
