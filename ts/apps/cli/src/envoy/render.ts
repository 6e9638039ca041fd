import { stringify } from "yaml";
import { moveBootstrap } from "./bootstrap.js";
import { clustersOf } from "./clusters.js";
import { methodsByService } from "./methods.js";
import { type EnvoyPlan, movePath } from "./plan.js";
import { edgeRoutes, meshRoutes } from "./route-tables.js";
import { StatusDetails } from "./status-details.js";
import { edgeSecret } from "./tls.js";

/** Largest REST body: a message of UAIT_MAX_MESSAGE_BYTES whose bytes grow by a third in base64, and its field names. */
export const MAX_REST_BYTES = 6_291_456;

/**
 * Makes Envoy's configuration for one mesh.
 *
 * @param plan where everything is
 * @param bootstrap text of the written envoy/envoy.yaml
 * @param descriptors a serialised FileDescriptorSet of all contracts with their imports
 * @returns texts by their paths within `plan.files.folder`: `envoy.yaml` and those of renderMade
 */
export function renderEnvoy(plan: EnvoyPlan, bootstrap: string, descriptors: Uint8Array): Map<string, string> {
  return new Map([["envoy.yaml", moveBootstrap(bootstrap, moveOf(plan))], ...renderMade(plan, descriptors)]);
}

/**
 * Makes the files that envoy.yaml reads.
 *
 * @returns texts by path: `made/clusters.yaml`, `made/edge-routes.yaml`, `made/mesh-routes.yaml`, `made/secrets.yaml`
 */
export function renderMade(plan: EnvoyPlan, descriptors: Uint8Array): Map<string, string> {
  const { backends, directory, files, corsOrigins } = plan;
  const routes = {
    backends,
    directory,
    methods: methodsByService(descriptors),
    details: new StatusDetails(descriptors),
  };
  const tls = plan.mutualTls ? files.mesh : undefined;
  const edge = edgeRoutes({ ...routes, descriptorFile: files.descriptors, corsOrigins, maxRestBytes: MAX_REST_BYTES });
  const clusters = backends.flatMap((backend) => clustersOf(backend, { tls }));
  const secret = { name: "edge", ...edgeSecret(files.edgeCert, files.edgeKey) };
  return new Map([
    ["made/clusters.yaml", resources("config.cluster.v3.Cluster", clusters)],
    ["made/edge-routes.yaml", resources("config.route.v3.RouteConfiguration", [edge])],
    ["made/mesh-routes.yaml", resources("config.route.v3.RouteConfiguration", [meshRoutes(routes)])],
    ["made/secrets.yaml", resources("extensions.transport_sockets.tls.v3.Secret", [secret])],
  ]);
}

function moveOf(plan: EnvoyPlan): Parameters<typeof moveBootstrap>[1] {
  const { listen, otlp } = plan;
  const directory = plan.backends.find(({ name }) => name === plan.directory)?.addresses[0];
  if (directory === undefined) throw new Error(`${plan.directory} has no process`);
  const hosts = new Map([
    ["edge", listen.edge.host],
    ["edge-tls", listen.edgeTls.host],
    ["mesh", listen.mesh.host],
    ["xds", directory.host],
    ["otlp", otlp.host],
  ]);
  return {
    ports: {
      edge: listen.edge.port,
      edgeTls: listen.edgeTls.port,
      mesh: listen.mesh.port,
      admin: listen.admin.port,
      xds: directory.port,
      otlp: otlp.port,
    },
    host: (name) => hosts.get(name),
    path: (written) => movePath(written, plan),
    tls: plan.mutualTls ? plan.files.mesh : undefined,
    rateLimit: plan.rateLimit,
  };
}

const head = "# Made from deploy/mesh.yaml and proto/ by `make made`; change ts/apps/cli/src/envoy/ instead.\n";

/** A file of xDS resources; what occurs more than once is written once and referred to. */
function resources(type: string, items: readonly object[]): string {
  const typed = items.map((item) => ({ "@type": `type.googleapis.com/envoy.${type}`, ...item }));
  return head + stringify({ resources: typed }, { lineWidth: 0, anchorPrefix: "shared" });
}
