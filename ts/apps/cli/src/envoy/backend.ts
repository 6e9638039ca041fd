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
}

/** Where something listens. */
export interface Address {
  /** IP address, or a name to resolve. */
  readonly host: string;
  readonly port: number;
}

/** The services that have a process, in catalogue order. */
export function backendsOf(mesh: Layout): Backend[] {
  const found = new Map<string, Backend & { addresses: Address[] }>();
  for (const { service, host, port } of built(mesh)) {
    const known = found.get(service.name);
    if (known !== undefined) known.addresses.push({ host, port });
    else {
      found.set(service.name, {
        name: service.name,
        area: service.folder ?? service.name,
        grpc: service.grpc,
        healthService: service.health.service,
        addresses: [{ host, port }],
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
