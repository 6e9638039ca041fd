import { parse, stringify } from "yaml";
import type { Address, Backend } from "./backend.js";
import { moveBootstrap } from "./bootstrap.js";
import { staticCluster } from "./clusters.js";
import { methodsByService } from "./methods.js";
import { meshRoutes } from "./route-tables.js";
import { StatusDetails } from "./status-details.js";
import type { TlsFiles } from "./tls.js";

/** What a mesh listener without a mesh is made from. */
export interface MeshOnlyInput {
  readonly backends: readonly Backend[];
  /** Where it listens; port 0 takes a free one. */
  readonly mesh: Address;
  readonly admin: Address;
  /** Where spans go; none are made when absent. */
  readonly otlp?: Address;
  /** Mutual TLS on both sides; plain when absent. */
  readonly tls?: TlsFiles;
}

/**
 * Makes the mesh listener alone, as one file that needs no other: the listener and routes of the whole mesh, clusters of fixed
 * addresses, no edge, no balancer. For suites that put Envoy between a client and a server.
 *
 * @param bootstrap text of the written envoy/envoy.yaml
 * @param descriptors a serialised FileDescriptorSet of all contracts with their imports
 */
export function renderMeshOnly(input: MeshOnlyInput, bootstrap: string, descriptors: Uint8Array): string {
  const { backends, mesh, admin, otlp, tls } = input;
  const moved = moveBootstrap(bootstrap, {
    ports: { edge: 0, edgeTls: 0, xds: 0, mesh: mesh.port, admin: admin.port, otlp: otlp?.port ?? 0 },
    path: (written) => written,
    host: (name) => ({ mesh: mesh.host, otlp: otlp?.host })[name],
    tls,
  });
  const {
    dynamic_resources: __,
    static_resources: written,
    ...rest
  } = parse(moved, { maxAliasCount: -1 }) as Bootstrap;
  const listener = named(written.listeners, "mesh");
  const [chain] = listener.filter_chains;
  const [filter] = chain?.filters ?? [];
  if (chain === undefined || filter === undefined)
    throw new Error("envoy.yaml: the mesh listener has no connection manager");
  const { rds: _, tracing, ...manager } = filter.typed_config;
  const standing = {
    ...listener,
    filter_chains: [
      {
        ...chain,
        filters: [
          {
            ...filter,
            typed_config: {
              ...manager,
              ...(otlp === undefined ? {} : { tracing }),
              route_config: meshRoutes({
                backends,
                methods: methodsByService(descriptors),
                details: new StatusDetails(descriptors),
              }),
            },
          },
        ],
      },
    ],
  };
  const clusters = [
    ...(otlp === undefined ? [] : [named(written.clusters, "otlp")]),
    ...backends.map((backend) => staticCluster(backend, backend.name, { tls })),
  ];
  return stringify({ ...rest, static_resources: { listeners: [standing], clusters } }, { lineWidth: 0 });
}

interface Named {
  readonly name: string;
}

interface Listener extends Named {
  readonly filter_chains: readonly {
    readonly filters: readonly { readonly typed_config: Record<string, unknown> }[];
  }[];
}

interface Bootstrap {
  readonly dynamic_resources: unknown;
  readonly static_resources: { readonly listeners: readonly Listener[]; readonly clusters: readonly Named[] };
}

function named<T extends Named>(items: readonly T[], name: string): T {
  const found = items.find((item) => item.name === name);
  if (found === undefined) throw new Error(`envoy.yaml has no ${name}`);
  return found;
}
