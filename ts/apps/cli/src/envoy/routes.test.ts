import { expect, test } from "vitest";
import type { Backend, HttpRoute } from "./backend.js";
import type { Method } from "./methods.js";
import { routesOf, type Side } from "./routes.js";

interface Route {
  readonly name: string;
  readonly match: {
    readonly prefix?: string;
    readonly path?: string;
    readonly headers?: readonly {
      readonly name: string;
      readonly string_match?: { exact?: string; safe_regex?: { regex: string } };
      readonly present_match?: boolean;
    }[];
  };
  readonly route?: {
    readonly cluster: string;
    readonly timeout?: string;
    readonly idle_timeout?: string;
    readonly retry_policy?: { retry_on: string };
  };
  readonly metadata?: { readonly filter_metadata: { readonly uait: { readonly scope?: string } } };
  readonly typed_per_filter_config?: object;
}

const method = (name: string, rest: Partial<Method> = {}): Method => ({
  ...{ name, writes: false, repeatable: true, streams: false, rest: true },
  ...rest,
});
const backend = (name: string, grpc: string, http: HttpRoute[] = []): Backend => ({
  ...{ name, area: name.replace(/-(ts|go)$/, ""), grpc: [grpc], healthService: "" },
  addresses: [{ host: "127.0.0.1", port: 1 }],
  ...(http.length === 0 ? {} : { http: { addresses: [{ host: "127.0.0.1", port: 2 }], routes: http } }),
});

const ECHO = "uait.echo.v1.EchoService";
const methods = new Map([
  [
    ECHO,
    [
      method("Echo"),
      method("Publish", { writes: true }),
      method("Watch", { streams: true }),
      method("Collect", { writes: true, repeatable: false, streams: true }),
    ],
  ],
  ["uait.memory.v1.MemoryService", [method("Get"), method("Store", { writes: true, repeatable: false })]],
]);

function routes(side: Side): Route[] {
  const backends = [
    backend("echo-ts", ECHO),
    backend("echo-go", ECHO),
    backend("memory", "uait.memory.v1.MemoryService", [
      { path: "/v1/", scopes: ["memory.write", "echo.write"] },
      { path: "/v1/models", scopes: ["memory.read"] },
      { path: "/v1/models/", scopes: ["memory.read"] },
      { path: "/open.json", scopes: [] },
    ]),
  ];
  const details = { encode: ({ reason }: { reason: string }) => reason };
  return routesOf(side, { backends, methods, details, directory: "memory" }) as Route[];
}

/** The route that Envoy would take: the first that matches. */
function taken(side: Side, path: string, headers: Readonly<Record<string, string>> = {}): Route | undefined {
  return routes(side).find(({ match }) => {
    if (match.path === undefined ? !path.startsWith(match.prefix ?? "/") : path !== match.path) return false;
    return (match.headers ?? []).every(({ name, string_match, present_match }) => {
      const value = name === ":path" ? path : headers[name];
      if (present_match !== undefined) return (value !== undefined) === present_match;
      if (string_match?.exact !== undefined) return value === string_match.exact;
      return new RegExp(`^(?:${string_match?.safe_regex?.regex})$`).test(value ?? "");
    });
  });
}

test.for(["echo-ts", "echo-go"])("service_shared_is_chosen_by_header_%s", (name) => {
  expect(taken("mesh", `/${ECHO}/Echo`, { "x-uait-service": name })?.route?.cluster).toBe(name);
});

test("service_shared_without_header_is_the_first", () => {
  expect(taken("mesh", `/${ECHO}/Echo`)?.route?.cluster).toBe("echo-ts");
});

test("service_header_wrong_reaches_nobody", () => {
  expect(taken("mesh", `/${ECHO}/Echo`, { "x-uait-service": "memory" })?.name).toBe("nowhere");
});

test("service_of_its_own_ignores_the_header", () => {
  expect(taken("mesh", "/uait.memory.v1.MemoryService/Get", { "x-uait-service": "echo-go" })?.route?.cluster).toBe(
    "memory",
  );
});

test("service_name_that_only_begins_alike_is_not_matched", () => {
  expect(taken("mesh", `/${ECHO}Two/Echo`)?.name).toBe("nowhere");
  expect(taken("mesh", "/uaitXechoXv1.EchoService/Echo")?.name).toBe("nowhere");
});

test.for([
  ["Echo", "echo.read"],
  ["Watch", "echo.read"],
  ["Publish", "echo.write"],
  ["Collect", "echo.write"],
  ["Unheard", "echo.write"],
  ["Echo/..", "echo.write"],
  ["EchoX", "echo.write"],
])("edge_%s_needs_%s", ([name, scope]) => {
  expect(taken("edge", `/${ECHO}/${name}`)?.metadata?.filter_metadata.uait.scope).toBe(scope);
});

test("edge_routes_all_decide_about_scopes", () => {
  for (const { name, typed_per_filter_config } of routes("edge")) {
    const rbac = (typed_per_filter_config as Record<string, { rbac?: unknown }>)["envoy.filters.http.rbac"];
    const open = /^grpc\.(health|reflection)\.|^nowhere$|^\/open\.json@/.test(name);
    expect([name, rbac !== undefined, rbac?.rbac === undefined]).toEqual([name, true, open]);
  }
});

test.for([
  ["/v1/chat/completions", "/v1/", "memory.write"],
  ["/v1/", "/v1/", "memory.write"],
  ["/v1/models", "/v1/models", "memory.read"],
  ["/v1/models/a/b", "/v1/models/", "memory.read"],
  ["/open.json", "/open.json", undefined],
  ["/open.json/x", undefined, undefined],
  ["/v1", undefined, undefined],
] as const)("edge_path_%s_is_routed_by_%s_and_needs_%s", ([path, route, scope]) => {
  const found = taken("edge", path);
  expect(found?.name).toBe(route === undefined ? "nowhere" : `${route}@memory`);
  expect(found?.metadata?.filter_metadata.uait.scope).toBe(scope);
  if (route !== undefined) expect(found?.route).toMatchObject({ cluster: "memory-http", idle_timeout: "3600s" });
});

test("mesh_has_no_route_to_an_http_port", () => {
  expect(taken("mesh", "/v1/chat/completions")?.name).toBe("nowhere");
});

test("mesh_routes_ask_for_no_scope", () => {
  expect(routes("mesh").filter(({ typed_per_filter_config }) => typed_per_filter_config !== undefined)).toEqual([]);
});

test.for([
  ["Echo", true],
  ["Publish", true],
  ["Watch", true],
  ["Collect", false],
  ["Unheard", false],
] as const)("retry_of_%s_after_the_service_saw_it_is_%s", ([name, repeatable]) => {
  const conditions = taken("mesh", `/${ECHO}/${name}`)?.route?.retry_policy?.retry_on.split(",");
  expect(conditions).toEqual(expect.arrayContaining(["connect-failure", "refused-stream", "reset-before-request"]));
  expect([conditions?.includes("unavailable"), conditions?.includes("reset")]).toEqual([repeatable, repeatable]);
});

test("timeouts_leave_streams_alone", () => {
  for (const side of ["edge", "mesh"] as const)
    for (const { name, route } of routes(side))
      if (route !== undefined && name !== "nowhere") expect([name, route.timeout]).toEqual([name, "0s"]);
  expect(taken("edge", `/${ECHO}/Watch`)?.route?.idle_timeout).toBe("3600s");
  expect(taken("edge", `/${ECHO}/Echo`)?.route?.idle_timeout).toBeUndefined();
  expect(taken("mesh", `/${ECHO}/Watch`)?.route?.idle_timeout).toBeUndefined();
});
