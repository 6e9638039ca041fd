import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { parse } from "yaml";
import { CATALOGUE_FILE, loadCatalogue } from "../catalogue/load.js";
import { ROOT } from "../context.js";
import { type Move, moveBootstrap, WRITTEN_PORTS } from "./bootstrap.js";

const written = readFileSync(join(ROOT, "envoy/envoy.yaml"), "utf8");
const ports = { edge: 1, edgeTls: 2, mesh: 3, admin: 4, xds: 5, otlp: 6 };
const move = (rest: Partial<Move> = {}): string => moveBootstrap(written, { ports, path: (path) => path, ...rest });

function portsIn(value: unknown): number[] {
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([key, inner]) => (key === "port_value" ? [inner as number] : portsIn(inner)));
}

interface Filter {
  readonly name: string;
  readonly typed_config: {
    readonly rules?: readonly { readonly match: { path?: string }; readonly requires?: object }[];
  };
}

const read = (text: string) => parse(text, { maxAliasCount: -1 });

test("move_replaces_every_port", () => {
  expect(portsIn(read(written)).sort()).toEqual(Object.values(WRITTEN_PORTS).sort());
  expect(portsIn(read(move())).sort()).toEqual([1, 2, 3, 4, 5, 6]);
});

test("move_replaces_every_path", () => {
  const seen: string[] = [];
  const moved = move({
    path: (path) => {
      seen.push(path);
      return `/moved/${path}`;
    },
  });
  expect(seen.sort()).toEqual([
    ".uait/keys/jwks.json",
    "envoy/made/clusters.yaml",
    "envoy/made/edge-routes.yaml",
    "envoy/made/mesh-routes.yaml",
    "envoy/made/secrets.yaml",
  ]);
  for (const path of seen) expect(moved).toContain(`/moved/${path}`);
});

test("move_to_the_written_layout_changes_nothing", () => {
  expect(read(move({ ports: WRITTEN_PORTS }))).toEqual(read(written));
});

test("paths_that_the_catalogue_opens_are_those_that_ask_for_no_key", async () => {
  const { services } = await loadCatalogue(join(ROOT, CATALOGUE_FILE));
  const open = services.flatMap(({ http }) => http.filter(({ scopes }) => scopes.length === 0).map(({ path }) => path));
  const [edge] = read(written).static_resources.listeners;
  const filters = edge.filter_chains[0].filters[0].typed_config.http_filters as Filter[];
  const rules = filters.find(({ name }) => name === "envoy.filters.http.jwt_authn")?.typed_config.rules ?? [];
  expect(rules.flatMap(({ match, requires }) => (requires === undefined ? (match.path ?? []) : []))).toEqual(open);
});

test("move_keeps_comments", () => {
  expect(move().match(/^\s*# .*$/gm)?.length).toBe(written.match(/^\s*# .*$/gm)?.length);
});

test("move_refuses_a_port_that_no_layout_knows", () => {
  expect(() =>
    moveBootstrap(written.replace("port_value: 9901", "port_value: 9902"), { ports, path: (path) => path }),
  ).toThrow("9902");
});

test("move_sets_hosts_by_name", () => {
  const { static_resources } = read(move({ host: (name) => (name === "edge" ? "10.0.0.1" : undefined) }));
  expect(static_resources.listeners[0].address.socket_address.address).toBe("10.0.0.1");
  expect(static_resources.listeners[1].address.socket_address.address).toBe("0.0.0.0");
});

test("move_to_mutual_tls_asks_for_certificates_on_the_mesh_only", () => {
  const tls = { ca: "ca.pem", cert: "cert.pem", key: "key.pem" };
  const { static_resources } = read(move({ tls }));
  const socket = (name: string) =>
    static_resources.listeners.find((listener: { name: string }) => listener.name === name).filter_chains[0]
      .transport_socket;
  expect(socket("mesh").typed_config.require_client_certificate).toBe(true);
  expect(socket("edge")).toBeUndefined();
  expect(static_resources.clusters.find(({ name }: { name: string }) => name === "xds").transport_socket).toBeDefined();
});
