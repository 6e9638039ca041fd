import { Status, StatusError } from "./status.js";

export const TENANT_KEY = "x-uait-tenant";
export const SUBJECT_KEY = "x-uait-subject";
export const SCOPES_KEY = "x-uait-scopes";

/** Who calls, as Envoy verified it. */
export interface Identity {
  readonly tenant: string;
  /** Empty when the caller has none. */
  readonly subject: string;
  readonly scopes: readonly string[];
}

/** The identity of calls to services that serve all tenants alike. */
export const NO_IDENTITY: Identity = { tenant: "", subject: "", scopes: [] };

const TENANT = /^[a-z0-9][a-z0-9-]{0,62}$/;
const MAX_SUBJECT_LENGTH = 256;

/** Reads the identity from metadata; `undefined` without a valid tenant or with an oversized subject. */
export function readIdentity(get: (key: string) => string | undefined): Identity | undefined {
  const tenant = get(TENANT_KEY);
  if (tenant === undefined || !TENANT.test(tenant)) return undefined;
  const subject = get(SUBJECT_KEY) ?? "";
  if (subject.length > MAX_SUBJECT_LENGTH) return undefined;
  const scopes = get(SCOPES_KEY);
  return { tenant, subject, scopes: scopes === undefined || scopes === "" ? [] : scopes.split(" ") };
}

/** The metadata by which an identity travels one hop further. */
export function identityMetadata(identity: Identity): [string, string][] {
  if (identity.tenant === "") return [];
  const entries: [string, string][] = [[TENANT_KEY, identity.tenant]];
  if (identity.subject !== "") entries.push([SUBJECT_KEY, identity.subject]);
  if (identity.scopes.length > 0) entries.push([SCOPES_KEY, identity.scopes.join(" ")]);
  return entries;
}

/** The answer to a call without a valid identity. */
export function tenantMissing(): StatusError {
  return StatusError.of({
    code: Status.UNAUTHENTICATED,
    reason: "TENANT_MISSING",
    message: `${TENANT_KEY} must be 1 to 63 characters of [a-z0-9-], and ${SUBJECT_KEY} at most ${MAX_SUBJECT_LENGTH}`,
  });
}
