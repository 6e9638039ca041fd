import { built, type Layout } from "../layout.js";

/** A service that Envoy routes to. */
export interface Backend {
  /** Catalogue name; also the cluster's. */
  readonly name: string;
  /** First part of its scopes `<area>.read` and `<area>.write`; services that share a folder share it. */
  readonly area: string;
  /** Full names of the gRPC services it serves. */
  readonly grpc: readonly string[];
  /** Name that its health check asks for; empty for the whole server. */
  readonly healthService: string;
  /** Addresses by the catalogue, used while the balancer knows none. */
  readonly addresses: readonly Address[];
  /** What its HTTP port answers at the edge; absent for nothing. */
  readonly http?: HttpBackend;
}

/** The HTTP port of a service, for callers outside. */
export interface HttpBackend {
  readonly addresses: readonly Address[];
  readonly routes: readonly HttpRoute[];
}

/** Paths of an HTTP port. */
export interface HttpRoute {
  /** A path, or with a slash at its end all paths below it. */
  readonly path: string;
  /** Scopes of which a key needs one; none for what is open. */
  readonly scopes: readonly string[];
}

/** Where something listens. */
export interface Address {
  /** IP address, or a name to resolve. */
  readonly host: string;
  readonly port: number;
}

/** The services that have a process, in catalogue order. */
export function backendsOf(mesh: Layout): Backend[] {
  const found = new Map<string, Backend & { addresses: Address[]; http?: HttpBackend & { addresses: Address[] } }>();
  for (const { service, host, port, httpPort } of built(mesh)) {
    const known = found.get(service.name);
    if (known !== undefined) {
      known.addresses.push({ host, port });
      known.http?.addresses.push({ host, port: httpPort });
    } else {
      found.set(service.name, {
        name: service.name,
        area: service.folder ?? service.name,
        grpc: service.grpc,
        healthService: service.health.service,
        addresses: [{ host, port }],
        ...(service.http.length === 0 ? {} : { http: { addresses: [{ host, port: httpPort }], routes: service.http } }),
      });
    }
  }
  return [...found.values()];
}

/** Reads `host:port`. */
export function addressOf(text: string): Address {
  const colon = text.lastIndexOf(":");
  const port = Number(text.slice(colon + 1));
  if (colon < 1 || !Number.isInteger(port) || port < 1 || port > 65_535) throw new Error(`${text} is not host:port`);
  return { host: text.slice(0, colon), port };
}
