import { type AuthServiceImplementation, KeyState, type Key as ProtoKey } from "@uait/gen/uait/gateway/v1/auth.js";
import { durationToMillis, fingerprintOf, Idempotency, pageOf, type ServerCallContext } from "@uait/kit";
import { toStatus } from "./error.js";
import type { JwksFeed } from "./jwks-feed.js";
import type { Key, Keys, KeyState as State } from "./keys.js";

const DEFAULT_TTL_MS = 90 * 86_400_000;
const REVOKE = "uait.gateway.v1.AuthService/RevokeKey";

/** The handlers of AuthService. */
export function createAuthHandler(options: {
  readonly keys: Keys;
  readonly feed: Pick<JwksFeed, "spread">;
  /** Unix time in milliseconds. */
  readonly now: () => number;
}): AuthServiceImplementation<ServerCallContext> {
  const { keys, feed, now } = options;
  // Revoking twice is revoking once; what is remembered is that an id belongs to one key.
  const revocations = new Idempotency({ now, errors: toStatus });
  return {
    async issueKey(request, { identity, signal }) {
      const { requestId, displayName, subject, scopes, ttl } = request;
      const ttlMs = ttl === undefined ? DEFAULT_TTL_MS : durationToMillis(ttl);
      const issue = { requestId, fingerprint: fingerprintOf(request), displayName, subject, scopes, ttlMs };
      const { key, token } = await keys.issue(identity, issue, signal);
      // Until Envoy knows the key, its first call would be refused.
      await feed.spread(signal);
      return { key: fromKey(key), token };
    },

    async listKeys(request, { identity, signal }) {
      const all = await keys.list(identity.tenant, signal);
      const items = all.filter(
        (key) =>
          (request.state === KeyState.KEY_STATE_UNSPECIFIED || STATES[key.state] === request.state) &&
          (request.subject === "" || key.subject === request.subject),
      );
      const page = pageOf({ items, request, keyOf: newestFirst });
      return { keys: page.items.map(fromKey), nextPageToken: page.nextPageToken };
    },

    async revokeKey(request, context) {
      return await revocations.run({ rpc: REVOKE, request, from: context }, async ({ identity, signal }) => ({
        key: fromKey(await keys.revoke(identity, request.keyId, request.reason, signal)),
      }));
    },
  };
}

const STATES: Readonly<Record<State, KeyState>> = {
  active: KeyState.KEY_STATE_ACTIVE,
  expired: KeyState.KEY_STATE_EXPIRED,
  revoked: KeyState.KEY_STATE_REVOKED,
};

const LATEST_MS = 8_640_000_000_000_000;

function newestFirst({ issuedMs, keyId }: Key): string {
  return `${String(LATEST_MS - issuedMs).padStart(16, "0")} ${keyId}`;
}

function fromKey(key: Key): ProtoKey {
  const { keyId, displayName, subject, scopes, state, issuedMs, expiresMs, revokedMs, issuedBy } = key;
  return {
    keyId,
    displayName,
    subject,
    scopes: [...scopes],
    state: STATES[state],
    createTime: new Date(issuedMs),
    expireTime: new Date(expiresMs),
    revokeTime: revokedMs === undefined ? undefined : new Date(revokedMs),
    issuedBy,
  };
}
