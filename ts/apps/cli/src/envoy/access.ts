import type { Backend, HttpRoute } from "./backend.js";

/** Scope that opens everything. */
export const ADMIN_SCOPE = "mesh.admin";

/** Scopes of which a key needs one, the one to ask for first. */
export function scopesFor(backend: Backend, writes: boolean): [string, ...string[]] {
  const write = `${backend.area}.write`;
  return writes ? [write, ADMIN_SCOPE] : [`${backend.area}.read`, write, ADMIN_SCOPE];
}

/** Scopes of which a key needs one for a path of an HTTP port. */
export function scopesForHttp({ scopes }: HttpRoute): string[] {
  return [...scopes, ADMIN_SCOPE];
}

/** The route's RBAC policy: one of the scopes of the verified key is among these. */
export function requireScope(scopes: readonly string[]): object {
  const regex = scopes.map((scope) => scope.replaceAll(".", "\\.")).join("|");
  const holdsOne = {
    sourced_metadata: {
      metadata_matcher: {
        filter: "envoy.filters.http.jwt_authn",
        path: [{ key: "key" }, { key: "scope" }],
        value: { list_match: { one_of: { string_match: { safe_regex: { regex } } } } },
      },
    },
  };
  return {
    "@type": "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBACPerRoute",
    rbac: {
      rules: { action: "ALLOW", policies: { scope: { permissions: [{ any: true }], principals: [holdsOne] } } },
    },
  };
}

/** The route needs no scope. */
export const noScope: object = { "@type": "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBACPerRoute" };
