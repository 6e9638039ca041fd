import { type Identity, MemoryBucket } from "@uait/kit";
import { createLocalJWKSet, decodeJwt, type JSONWebKeySet, jwtVerify } from "jose";
import { beforeEach, describe, expect, test } from "vitest";
import { type IssueRequest, Keys, MAX_ACTIVE_KEYS } from "./keys.js";
import { missingScope } from "./scope.js";
import type { StoredKey } from "./store.js";

const signal = new AbortController().signal;
const DAY = 86_400_000;
const by = (scopes: string[], tenant = "acme"): Identity => ({ tenant, subject: "user:1", scopes });
const ADMIN = by(["mesh.admin"]);
const request = (over: Partial<IssueRequest> = {}): IssueRequest => ({
  requestId: "r1",
  fingerprint: "f1",
  displayName: "for the app",
  subject: "app",
  scopes: ["memory.read", "llm-router.write"],
  ttlMs: DAY,
  ...over,
});

let store: MemoryBucket<StoredKey>;
let keys: Keys;
let nowMs: number;
beforeEach(() => {
  store = new MemoryBucket();
  nowMs = Date.now();
  keys = new Keys({ store, now: () => nowMs });
});

async function verifies(token: string): Promise<boolean> {
  const set = createLocalJWKSet((await keys.jwks()) as unknown as JSONWebKeySet);
  const options = { issuer: "uait-gateway", audience: "uait", currentDate: new Date(nowMs) };
  return await jwtVerify(token, set, options).then(
    () => true,
    () => false,
  );
}

describe("issue", () => {
  test("token_says_what_was_asked_and_is_verified_by_the_jwks", async () => {
    const { key, token } = await keys.issue(ADMIN, request(), signal);
    expect(await verifies(token)).toBe(true);
    expect(decodeJwt(token)).toMatchObject({
      iss: "uait-gateway",
      aud: "uait",
      tenant: "acme",
      sub: "app",
      scope: "memory.read llm-router.write",
      jti: key.keyId,
      exp: Math.floor((nowMs + DAY) / 1000),
    });
    expect(key).toMatchObject({ state: "active", displayName: "for the app", issuedBy: "user:1" });
    expect(key.keyId).toMatch(/^[A-Za-z0-9_-]{1,64}$/);
  });

  test("nothing_stored_or_published_opens_anything", async () => {
    const { token } = await keys.issue(ADMIN, request(), signal);
    const kept = JSON.stringify([store.entries(""), await keys.jwks()]);
    expect(kept).not.toContain('"d"');
    for (const part of token.split(".")) expect(kept).not.toContain(part);
  });

  test("scope_that_the_issuer_lacks_is_refused_by_name", async () => {
    await expect(keys.issue(by(["memory.read"]), request(), signal)).rejects.toMatchObject({
      failure: { kind: "scope_missing", scope: "llm-router.write" },
    });
    await keys.issue(by(["memory.write", "llm-router.write"]), request(), signal);
  });

  test("repeat_is_the_same_key_by_another_signature", async () => {
    const first = await keys.issue(ADMIN, request(), signal);
    const second = await keys.issue(ADMIN, request(), signal);
    expect(second.key).toEqual(first.key);
    expect(decodeJwt(second.token)).toEqual(decodeJwt(first.token));
    expect([await verifies(first.token), await verifies(second.token)]).toEqual([true, true]);
    expect((await keys.list("acme", signal)).length).toBe(1);
    await keys.revoke(ADMIN, first.key.keyId, "", signal);
    expect([await verifies(first.token), await verifies(second.token)]).toEqual([false, false]);
    await expect(keys.issue(ADMIN, request(), signal)).rejects.toMatchObject({ failure: { kind: "key_ended" } });
  });

  test("repeats_at_once_issue_one_key", async () => {
    const all = await Promise.all([1, 2, 3].map(() => keys.issue(ADMIN, request(), signal)));
    expect(new Set(all.map(({ key }) => key.keyId)).size).toBe(1);
    for (const { token } of all) expect(await verifies(token)).toBe(true);
  });

  test("repeats_are_bounded_and_another_request_with_the_id_is_refused", async () => {
    for (let count = 0; count < 8; count++) await keys.issue(ADMIN, request(), signal);
    await expect(keys.issue(ADMIN, request(), signal)).rejects.toMatchObject({ failure: { kind: "key_reissued" } });
    await expect(keys.issue(ADMIN, request({ fingerprint: "f2" }), signal)).rejects.toMatchObject({
      failure: { kind: "request_id_reused" },
    });
  });

  test("id_of_another_tenant_is_another_key", async () => {
    const one = await keys.issue(ADMIN, request(), signal);
    const other = await keys.issue(by(["mesh.admin"], "globex"), request({ fingerprint: "f2" }), signal);
    expect(other.key.keyId).not.toBe(one.key.keyId);
    expect(decodeJwt(other.token)["tenant"]).toBe("globex");
  });

  test("active_keys_of_a_tenant_are_bounded", async () => {
    const { key } = await keys.issue(ADMIN, request(), signal);
    const stored = store.get(`acme.${key.keyId}`);
    if (stored === undefined) throw new Error("it is not stored");
    for (let count = 1; count < MAX_ACTIVE_KEYS; count++)
      await store.write({ key: `acme.k${count}`, value: stored.value, expected: 0, signal });
    await expect(keys.issue(ADMIN, request({ requestId: "more" }), signal)).rejects.toMatchObject({
      failure: { kind: "keys_exhausted", limit: MAX_ACTIVE_KEYS },
    });
  });
});

describe("end", () => {
  test("key_revoked_leaves_the_jwks_and_stays_in_the_list", async () => {
    const { key, token } = await keys.issue(ADMIN, request(), signal);
    const revoked = await keys.revoke(ADMIN, key.keyId, "lost", signal);
    expect(revoked).toMatchObject({ state: "revoked", revokedMs: nowMs });
    expect(await verifies(token)).toBe(false);
    nowMs += 1000;
    expect(await keys.revoke(ADMIN, key.keyId, "again", signal)).toEqual(revoked);
    expect(await keys.list("acme", signal)).toEqual([revoked]);
  });

  test("key_of_another_tenant_does_not_exist", async () => {
    const { key } = await keys.issue(ADMIN, request(), signal);
    await expect(keys.revoke(by(["mesh.admin"], "globex"), key.keyId, "", signal)).rejects.toMatchObject({
      failure: { kind: "key_missing" },
    });
    expect(await keys.list("globex", signal)).toEqual([]);
  });

  test("key_whose_time_is_over_is_expired_and_leaves_the_jwks", async () => {
    await keys.issue(ADMIN, request(), signal);
    nowMs += DAY;
    expect((await keys.list("acme", signal)).map(({ state }) => state)).toEqual(["expired"]);
    nowMs += 5001;
    expect((await keys.jwks())?.keys.length).toBe(1);
  });
});

describe("jwks", () => {
  test("set_is_never_empty_since_envoy_would_keep_the_one_before", async () => {
    const set = await keys.jwks();
    expect(set?.keys).toMatchObject([{ kid: "none", kty: "EC", crv: "P-256", alg: "ES256", use: "sig" }]);
    expect(await keys.jwks()).toEqual(set);
  });

  test("set_that_is_not_known_yet_is_none_at_all", async () => {
    const unread = Object.assign(new MemoryBucket<StoredKey>(), { loaded: false });
    expect(await new Keys({ store: unread as never, now: Date.now }).jwks()).toBeUndefined();
  });
});

test.for([
  [["mesh.admin"], ["anything.admin"], undefined],
  [["a.write"], ["a.read", "a.write"], undefined],
  [["a.read"], ["a.write"], "a.write"],
  [["a.write"], ["a.admin"], "a.admin"],
  [["a.write"], ["ab.read"], "ab.read"],
  [[], ["a.read"], "a.read"],
] as [string[], string[], string | undefined][])("scopes_%j_for_%j", ([held, wanted, missing]) => {
  expect(missingScope(held, wanted)).toBe(missing);
});
