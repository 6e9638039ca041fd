import { exportJWK, generateKeyPair, type JWK, SignJWT } from "jose";

/** Issuer of the gateway's tokens, as Envoy's second provider has it (envoy/envoy.yaml). */
export const ISSUER = "uait-gateway";
export const AUDIENCE = "uait";
const ALGORITHM = "ES256";

/** What a token says. */
export interface Claims {
  readonly keyId: string;
  readonly tenant: string;
  readonly subject: string;
  readonly scopes: readonly string[];
  /** Unix time in milliseconds. */
  readonly issuedMs: number;
  readonly expiresMs: number;
}

/** A token, with the public half of the key that signed it. */
export interface SignedToken {
  readonly token: string;
  readonly jwk: JWK;
}

/** Signs a token by a key pair of its own, whose private half is gone when this returns (decision 0140). */
export async function signToken(claims: Claims, kid: string): Promise<SignedToken> {
  const { publicKey, privateKey } = await generateKeyPair(ALGORITHM);
  const token = await new SignJWT({ tenant: claims.tenant, scope: claims.scopes.join(" ") })
    .setProtectedHeader({ alg: ALGORITHM, kid, typ: "JWT" })
    .setIssuer(ISSUER)
    .setAudience(AUDIENCE)
    .setSubject(claims.subject)
    .setJti(claims.keyId)
    .setIssuedAt(Math.floor(claims.issuedMs / 1000))
    .setExpirationTime(Math.floor(claims.expiresMs / 1000))
    .sign(privateKey);
  return { token, jwk: await publicJwk(publicKey, kid) };
}

/** A public key that verifies nothing: its private half is gone before anything was signed. */
export async function signingNothing(kid: string): Promise<JWK> {
  const { publicKey } = await generateKeyPair(ALGORITHM);
  return await publicJwk(publicKey, kid);
}

async function publicJwk(key: Parameters<typeof exportJWK>[0], kid: string): Promise<JWK> {
  const { kty, crv, x, y } = await exportJWK(key);
  if (kty === undefined || crv === undefined || x === undefined || y === undefined) throw new Error("no P-256 key");
  return { kty, crv, x, y, kid, alg: ALGORITHM, use: "sig" };
}
