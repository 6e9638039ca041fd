import { noScope, requireScope, scopesFor, scopesForHttp } from "./access.js";
import type { Backend } from "./backend.js";
import { PERMISSION_DENIED, UNAVAILABLE } from "./codes.js";
import type { Method } from "./methods.js";
import type { StatusDetails } from "./status-details.js";

/** What routes are made from. */
export interface RouteInput {
  readonly backends: readonly Backend[];
  readonly methods: ReadonlyMap<string, readonly Method[]>;
  /** Writes an error's details as a header. */
  readonly details: Pick<StatusDetails, "encode">;
  /** The service that answers health and reflection for the whole mesh; absent when there is none. */
  readonly directory?: string | undefined;
}

/** Whose routes: at the edge scopes are asked for and silence has an end. */
export type Side = "edge" | "mesh";

/** Header by which a caller chooses among services that implement the same gRPC service. */
export const SERVICE_HEADER = "x-uait-service";

/**
 * The routes of one side, first match first. Each gRPC service has one route for each kind of method (may it be repeated, does
 * it write, does it stream) and a last one, held to the strictest rules, for all that the contract does not know.
 */
export function routesOf(side: Side, input: RouteInput): object[] {
  const implementations = new Map<string, Backend[]>();
  for (const backend of input.backends)
    for (const grpc of backend.grpc) implementations.set(grpc, [...(implementations.get(grpc) ?? []), backend]);
  const routes: object[] = [];
  const share = sharing();
  for (const [grpc, backends] of implementations) {
    const groups = groupsOf(input.methods.get(grpc) ?? []);
    for (const choice of choicesOf(backends))
      for (const group of groups)
        routes.push(methodRoute(side, { grpc, choice, group, details: input.details, share }));
  }
  if (side === "edge") routes.push(...httpRoutes(input));
  routes.push(...openRoutes(side, input), nowhere(side));
  return routes;
}

/** Methods of one gRPC service that are routed alike; `names` is absent for all others. */
interface Group {
  readonly label: string;
  readonly names?: readonly string[];
  readonly writes: boolean;
  readonly repeatable: boolean;
  readonly streams: boolean;
}

/** A service and what a call must carry to reach it. */
interface Choice {
  readonly backend: Backend;
  readonly headers: readonly object[];
}

/** Makes a part once for each key, so that the rendered file writes it once and refers to it. */
type Share = <T extends object>(key: string, make: () => T) => T;

function sharing(): Share {
  const made = new Map<string, object>();
  return <T extends object>(key: string, make: () => T): T => {
    const found = (made.get(key) as T | undefined) ?? make();
    made.set(key, found);
    return found;
  };
}

const others: Group = { label: "other", writes: true, repeatable: false, streams: true };

function groupsOf(methods: readonly Method[]): Group[] {
  const groups = new Map<string, Group & { names: string[] }>();
  for (const { name, writes, repeatable, streams } of methods) {
    const label = [writes ? "write" : "read", repeatable ? "repeatable" : "once", streams ? "stream" : "unary"].join(
      "-",
    );
    const known = groups.get(label);
    if (known !== undefined) known.names.push(name);
    else groups.set(label, { label, names: [name], writes, repeatable, streams });
  }
  // What would be routed as the unknown methods are needs no route of its own.
  groups.delete("write-once-stream");
  return [...groups.values(), others];
}

function choicesOf(backends: readonly Backend[]): Choice[] {
  const [first, ...rest] = backends;
  if (first === undefined) return [];
  if (rest.length === 0) return [{ backend: first, headers: [] }];
  return [
    ...backends.map((backend) => ({
      backend,
      headers: [{ name: SERVICE_HEADER, string_match: { exact: backend.name } }],
    })),
    // Without the header the first of the catalogue; with a wrong one nobody, rather than somebody else.
    { backend: first, headers: [{ name: SERVICE_HEADER, present_match: false }] },
  ];
}

function methodRoute(
  side: Side,
  {
    grpc,
    choice,
    group,
    details,
    share,
  }: { grpc: string; choice: Choice; group: Group; details: RouteInput["details"]; share: Share },
): object {
  const { backend } = choice;
  const scopes = scopesFor(backend, group.writes);
  const only = group.names && {
    name: ":path",
    string_match: { safe_regex: { regex: `/${grpc.replaceAll(".", "\\.")}/(${group.names.join("|")})` } },
  };
  const headers = [...choice.headers, ...(only ? [only] : [])];
  return {
    name: `${grpc}/${group.label}@${backend.name}${choice.headers.length > 0 && isDefault(choice) ? "/default" : ""}`,
    match: { prefix: `/${grpc}/`, ...(headers.length > 0 ? { headers } : {}) },
    ...target(side, { backend, group }),
    ...(side === "mesh"
      ? { metadata: share(backend.name, () => metadata({ backend, details })) }
      : {
          metadata: share(`${backend.name} ${scopes[0]}`, () => metadata({ backend, details, scope: scopes[0] })),
          typed_per_filter_config: { "envoy.filters.http.rbac": share(scopes.join(" "), () => requireScope(scopes)) },
        }),
  };
}

function isDefault(choice: Choice): boolean {
  return choice.headers.some((header) => "present_match" in header);
}

// A path before what is below it, and the longer prefix first: the first match wins.
function httpRoutes({ backends, details }: RouteInput): object[] {
  const all = backends.flatMap((backend) => (backend.http?.routes ?? []).map((route) => ({ backend, route })));
  const below = (path: string) => path.endsWith("/");
  all.sort(
    (a, b) => Number(below(a.route.path)) - Number(below(b.route.path)) || b.route.path.length - a.route.path.length,
  );
  return all.map(({ backend, route }) => {
    const [scope] = route.scopes;
    return {
      name: `${route.path}@${backend.name}`,
      match: below(route.path) ? { prefix: route.path } : { path: route.path },
      // Streams last as long as they have to; what is not idempotent is not repeated once a service has seen it.
      route: { cluster: `${backend.name}-http`, timeout: "0s", idle_timeout: "3600s", retry_policy: retryUnseen },
      metadata: metadata({ backend, details, ...(scope === undefined ? {} : { scope }) }),
      typed_per_filter_config: {
        "envoy.filters.http.rbac": scope === undefined ? noScope : requireScope(scopesForHttp(route)),
        "envoy.filters.http.body_size_limit": bodySizeLimit,
      },
    };
  });
}

function openRoutes(side: Side, { backends, details, directory }: RouteInput): object[] {
  const open = side === "edge" ? { typed_per_filter_config: { "envoy.filters.http.rbac": noScope } } : {};
  const group: Group = { label: "open", writes: false, repeatable: true, streams: true };
  const to = (backend: Backend, prefix: string, headers: readonly object[]): object => ({
    name: `${prefix.slice(1, -1)}@${backend.name}`,
    match: { prefix, ...(headers.length > 0 ? { headers } : {}) },
    ...target(side, { backend, group }),
    metadata: metadata({ backend, details }),
    ...open,
  });
  const everybody = backends.find(({ name }) => name === directory);
  const health = "/grpc.health.v1.Health/";
  return [
    ...backends.map((backend) =>
      to(backend, health, [{ name: SERVICE_HEADER, string_match: { exact: backend.name } }]),
    ),
    ...(everybody === undefined
      ? []
      : [
          to(everybody, health, [{ name: SERVICE_HEADER, present_match: false }]),
          to(everybody, "/grpc.reflection.v1.ServerReflection/", []),
          to(everybody, "/grpc.reflection.v1alpha.ServerReflection/", []),
        ]),
  ];
}

function target(side: Side, { backend, group }: { backend: Backend; group: Group }): object {
  return {
    route: {
      cluster: backend.name,
      // Envoy's 15 s would cut streams; the deadline is the caller's, and each hop's kit holds it (decision 0082).
      timeout: "0s",
      ...(side === "edge" && group.streams ? { idle_timeout: "3600s" } : {}),
      retry_policy: group.repeatable ? retryRepeatable : retryUnseen,
    },
  };
}

// These mean that no service saw the call, so any call may be repeated.
const unseen = ["connect-failure", "refused-stream", "reset-before-request"];
const retryUnseen = retryPolicy(unseen);
const retryRepeatable = retryPolicy([...unseen, "unavailable", "reset"]);

function retryPolicy(conditions: readonly string[]): object {
  return {
    retry_on: conditions.join(","),
    num_retries: 2,
    retry_back_off: { base_interval: "0.025s", max_interval: "0.250s" },
    retry_host_predicate: [
      {
        name: "envoy.retry_host_predicates.previous_hosts",
        typed_config: {
          "@type": "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate",
        },
      },
    ],
    host_selection_retry_max_attempts: 3,
  };
}

// Read by the local replies of envoy.yaml.
function metadata({
  backend,
  details,
  scope,
}: {
  backend: Backend;
  details: RouteInput["details"];
  scope?: string;
}): object {
  const unavailable = details.encode({
    code: UNAVAILABLE,
    message: `${backend.name} cannot be reached`,
    reason: "DEPENDENCY_UNAVAILABLE",
    metadata: { dependency: backend.name },
  });
  const missing =
    scope === undefined
      ? {}
      : {
          scope,
          scope_missing: details.encode({
            code: PERMISSION_DENIED,
            message: `the key lacks the scope ${scope}`,
            reason: "SCOPE_MISSING",
            metadata: { scope },
          }),
        };
  return { filter_metadata: { uait: { service: backend.name, unavailable, ...missing } } };
}

// Switches the filter of envoy.yaml on.
const bodySizeLimit = { "@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", config: {} };

// 404 is UNIMPLEMENTED in gRPC: what a mesh without this service has to say.
function nowhere(side: Side): object {
  const everything = { name: "nowhere", match: { prefix: "/" } };
  if (side === "mesh") return { ...everything, direct_response: { status: 404 } };
  return {
    ...everything,
    // No cluster of this name. A direct response would be simpler, but Envoy gives it no CORS headers, and a REST request has this
    // route until the transcoder knows it.
    route: { cluster: "nowhere", cluster_not_found_response_code: "NOT_FOUND" },
    typed_per_filter_config: {
      // It takes a key, but no scope, to be told.
      "envoy.filters.http.rbac": noScope,
      // Bounds what the transcoder will keep.
      "envoy.filters.http.body_size_limit": bodySizeLimit,
    },
  };
}
