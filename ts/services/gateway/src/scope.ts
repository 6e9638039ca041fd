/** Scope that opens everything. */
export const ADMIN_SCOPE = "mesh.admin";

/**
 * Whether scopes open what a scope names, as Envoy's routes judge it: `mesh.admin` opens everything, and what may write may read.
 */
export function opens(scopes: readonly string[], wanted: string): boolean {
  if (scopes.includes(ADMIN_SCOPE) || scopes.includes(wanted)) return true;
  return wanted.endsWith(".read") && scopes.includes(wanted.replace(/\.read$/, ".write"));
}

/** The first of the scopes that is wanted and not open; `undefined` when all are. */
export function missingScope(scopes: readonly string[], wanted: readonly string[]): string | undefined {
  return wanted.find((each) => !opens(scopes, each));
}
