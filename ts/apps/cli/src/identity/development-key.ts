import { chmod, mkdir, readFile } from "node:fs/promises";
import { createLocalJWKSet, exportJWK, exportPKCS8, generateKeyPair, importPKCS8, jwtVerify, SignJWT } from "jose";
import { textOf, writeWhole } from "../files.js";
import type { Paths } from "../layout.js";

/** Issuer and audience of every key of the mesh. */
export const ISSUER = "uait";
const ALGORITHM = "ES256";
/** Lifetime of the development key. It is renewed by `make up` when less than a month is left. */
const LIFETIME_DAYS = 365;
const RENEW_DAYS = 30;
const DAY_SECONDS = 86_400;

/**
 * Makes the mesh's signing key once, its public half for Envoy, and the bearer token by which a developer comes in: subject `dev`
 * of tenant `dev` with every scope.
 *
 * @param now seconds since 1970
 */
export async function ensureDevelopmentKey(paths: Paths, now: number): Promise<void> {
  const signing = `${paths.jwks.slice(0, paths.jwks.lastIndexOf("/"))}/signing.pem`;
  await mkdir(signing.slice(0, signing.lastIndexOf("/")), { recursive: true, mode: 0o700 });
  if ((await textOf(signing)) === undefined || (await textOf(paths.jwks)) === undefined) {
    const pair = await generateKeyPair(ALGORITHM, { extractable: true });
    await writeWhole(signing, await exportPKCS8(pair.privateKey), 0o600);
    const jwk = { ...(await exportJWK(pair.publicKey)), kid: "dev", alg: ALGORITHM, use: "sig" };
    await writeWhole(paths.jwks, `${JSON.stringify({ keys: [jwk] }, undefined, 2)}\n`, 0o600);
  }
  if (await isCurrent(paths, now)) return;
  const token = await new SignJWT({ tenant: "dev", scope: "mesh.admin" })
    .setProtectedHeader({ alg: ALGORITHM, kid: "dev", typ: "JWT" })
    .setIssuer(ISSUER)
    .setAudience(ISSUER)
    .setSubject("dev")
    .setIssuedAt(now)
    .setExpirationTime(now + LIFETIME_DAYS * DAY_SECONDS)
    .sign(await importPKCS8(await readFile(signing, "utf8"), ALGORITHM));
  await writeWhole(paths.devKey, `${token}\n`, 0o600);
  await chmod(paths.devKey, 0o600);
}

async function isCurrent(paths: Paths, now: number): Promise<boolean> {
  const token = await textOf(paths.devKey);
  if (token === undefined) return false;
  try {
    const keys = createLocalJWKSet(JSON.parse(await readFile(paths.jwks, "utf8")));
    await jwtVerify(token.trim(), keys, {
      issuer: ISSUER,
      audience: ISSUER,
      currentDate: new Date((now + RENEW_DAYS * DAY_SECONDS) * 1000),
    });
    return true;
  } catch {
    return false;
  }
}
