import { mkdir, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { type CryptoKey, exportJWK, generateKeyPair, SignJWT } from "jose";

/** What a key of a test says; each claim may be wrong on purpose. */
export interface Claims {
  readonly tenant?: string;
  readonly sub?: string;
  readonly scope?: string;
  readonly issuer?: string;
  readonly audience?: string;
  /** Seconds from now; negative for a key that has expired. */
  readonly lifetime?: number;
}

/** Signs keys with its own pair of P-256 keys. */
export class Issuer {
  private constructor(
    readonly kid: string,
    private readonly publicKey: CryptoKey,
    private readonly privateKey: CryptoKey,
  ) {}

  static async create(kid = "test"): Promise<Issuer> {
    const { publicKey, privateKey } = await generateKeyPair("ES256", { extractable: true });
    return new Issuer(kid, publicKey, privateKey);
  }

  async sign(claims: Claims = {}): Promise<string> {
    const { tenant = "acme", sub = "user:7", scope = "echo.read echo.write" } = claims;
    return new SignJWT({ tenant, scope })
      .setProtectedHeader({ alg: "ES256", kid: this.kid })
      .setSubject(sub)
      .setIssuer(claims.issuer ?? "uait")
      .setAudience(claims.audience ?? "uait")
      .setExpirationTime(Math.floor(Date.now() / 1000) + (claims.lifetime ?? 300))
      .sign(this.privateKey);
  }

  /** Writes the JWKS file that Envoy reads. */
  async publish(path: string): Promise<void> {
    await mkdir(dirname(path), { recursive: true });
    const jwk = { ...(await exportJWK(this.publicKey)), kid: this.kid, alg: "ES256", use: "sig" };
    await writeFile(path, JSON.stringify({ keys: [jwk] }));
  }
}
