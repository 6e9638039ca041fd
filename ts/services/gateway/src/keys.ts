import { createHash } from "node:crypto";
import type { Bucket, BucketEntry, Identity } from "@uait/kit";
import type { JWK } from "jose";
import { GatewayError } from "./error.js";
import type { Jwks } from "./jwks-feed.js";
import { missingScope } from "./scope.js";
import { signingNothing, signToken } from "./signer.js";
import type { StoredKey } from "./store.js";

export type KeyState = "active" | "expired" | "revoked";

/** A key, without its token. */
export interface Key {
  readonly keyId: string;
  readonly displayName: string;
  readonly subject: string;
  readonly scopes: readonly string[];
  readonly state: KeyState;
  readonly issuedMs: number;
  readonly expiresMs: number;
  readonly revokedMs: number | undefined;
  readonly issuedBy: string;
}

export interface IssueRequest {
  readonly requestId: string;
  /** Of the whole request. */
  readonly fingerprint: string;
  readonly displayName: string;
  readonly subject: string;
  readonly scopes: readonly string[];
  readonly ttlMs: number;
}

export interface KeysOptions {
  readonly store: Bucket<StoredKey>;
  /** Unix time in milliseconds. */
  readonly now: () => number;
}

/** Most active keys of a tenant: Envoy reads them all every two seconds. */
export const MAX_ACTIVE_KEYS = 1000;
/** Most tokens of one key: one, and one for each repeat. */
const MAX_TOKENS = 8;
/** How long Envoy takes an expired token all the same (`clock_skew_seconds`), in milliseconds. */
const CLOCK_SKEW_MS = 5000;

/** The tenants' keys. */
export class Keys {
  readonly #store: Bucket<StoredKey>;
  readonly #now: () => number;
  #anchor: Promise<JWK> | undefined;

  constructor({ store, now }: KeysOptions) {
    this.#store = store;
    this.#now = now;
  }

  /**
   * Issues a key. A repeat signs the same claims anew by another key pair: no token is kept that could be returned.
   *
   * @throws GatewayError; StatusError DEPENDENCY_UNAVAILABLE when it cannot be stored
   */
  async issue(by: Identity, request: IssueRequest, signal: AbortSignal): Promise<{ key: Key; token: string }> {
    const missing = missingScope(by.scopes, request.scopes);
    if (missing !== undefined) throw new GatewayError({ kind: "scope_missing", scope: missing });
    await this.#store.untilLoaded(signal);
    const keyId = keyIdOf(by.tenant, request.requestId);
    const key = `${by.tenant}.${keyId}`;
    for (;;) {
      const known = this.#store.get(key);
      const value = known === undefined ? this.#fresh(by, request) : this.#repeated(known.value, request);
      const { issuedMs, expiresMs, subject, scopes } = value;
      const claims = { keyId, tenant: by.tenant, subject, scopes, issuedMs, expiresMs };
      const { token, jwk } = await signToken(claims, `${keyId}.${value.jwks.length}`);
      const signed = { ...value, jwks: [...value.jwks, jwk as StoredKey["jwks"][number]] };
      const entry = await this.#store.write({ key, value: signed, expected: known?.revision ?? 0, signal });
      if (entry !== undefined) return { key: this.#keyOf(entry), token };
    }
  }

  /** The tenant's keys. */
  async list(tenant: string, signal: AbortSignal): Promise<Key[]> {
    await this.#store.untilLoaded(signal);
    return this.#store.entries(`${tenant}.`).map((entry) => this.#keyOf(entry));
  }

  /** Revokes a key; one that is revoked stays as it is. @throws GatewayError, StatusError */
  async revoke(by: Identity, keyId: string, why: string, signal: AbortSignal): Promise<Key> {
    await this.#store.untilLoaded(signal);
    const key = `${by.tenant}.${keyId}`;
    for (;;) {
      const known = this.#store.get(key);
      if (known === undefined) throw new GatewayError({ kind: "key_missing", keyId });
      if (known.value.revokedMs !== undefined) return this.#keyOf(known);
      const value = { ...known.value, revokedMs: this.#now(), revokedBy: by.subject, revokedWhy: why };
      const entry = await this.#store.write({ key, value, expected: known.revision, signal });
      if (entry !== undefined) return this.#keyOf(entry);
    }
  }

  /**
   * The public halves of all keys that open something, for Envoy; `undefined` while they are not known: an empty set would take
   * from Envoy what it has.
   */
  async jwks(): Promise<Jwks | undefined> {
    if (!this.#store.loaded) return undefined;
    const now = this.#now();
    const active = this.#store
      .entries("")
      .filter(({ value }) => value.revokedMs === undefined && value.expiresMs + CLOCK_SKEW_MS > now);
    // Envoy takes a set without keys for a mistake and keeps the one before, in which the last key was not revoked yet.
    this.#anchor ??= signingNothing("none");
    return { keys: [await this.#anchor, ...active.flatMap(({ value }) => value.jwks)] };
  }

  #fresh(by: Identity, { fingerprint, displayName, subject, scopes, ttlMs }: IssueRequest): StoredKey {
    const issuedMs = this.#now();
    const active = this.#store.entries(`${by.tenant}.`).filter((entry) => this.#keyOf(entry).state === "active");
    if (active.length >= MAX_ACTIVE_KEYS) throw new GatewayError({ kind: "keys_exhausted", limit: MAX_ACTIVE_KEYS });
    return {
      displayName,
      subject,
      scopes: [...scopes],
      issuedBy: by.subject,
      issuedMs,
      expiresMs: issuedMs + ttlMs,
      fingerprint,
      jwks: [],
    };
  }

  #repeated(known: StoredKey, { requestId, fingerprint }: IssueRequest): StoredKey {
    if (known.fingerprint !== fingerprint) throw new GatewayError({ kind: "request_id_reused", requestId });
    const state = this.#stateOf(known);
    if (state !== "active") throw new GatewayError({ kind: "key_ended", state });
    if (known.jwks.length >= MAX_TOKENS) throw new GatewayError({ kind: "key_reissued", limit: MAX_TOKENS });
    return known;
  }

  #keyOf({ key, value }: BucketEntry<StoredKey>): Key {
    const { displayName, subject, scopes, issuedMs, expiresMs, revokedMs, issuedBy } = value;
    const keyId = key.slice(key.indexOf(".") + 1);
    const state = this.#stateOf(value);
    return { keyId, displayName, subject, scopes, state, issuedMs, expiresMs, revokedMs, issuedBy };
  }

  #stateOf({ revokedMs, expiresMs }: StoredKey): KeyState {
    if (revokedMs !== undefined) return "revoked";
    return expiresMs <= this.#now() ? "expired" : "active";
  }
}

// By the request, so that two replicas that get it at once issue one key.
function keyIdOf(tenant: string, requestId: string): string {
  return createHash("sha256").update(`${tenant}/${requestId}`).digest("base64url").slice(0, 22);
}
