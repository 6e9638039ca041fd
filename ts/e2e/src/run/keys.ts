import { randomUUID } from "node:crypto";
import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { AuthServiceDefinition } from "@uait/gen/uait/gateway/v1/auth.js";
import { generateKeyPair, importPKCS8, SignJWT } from "jose";
import { type Client, createChannel, createClient, Metadata } from "nice-grpc";
import type { Mesh } from "../mesh/mesh.js";

const ALGORITHM = "ES256";

/** What a key says that the mesh's own signing key, or a stranger's, has signed. */
export interface Claims {
  readonly tenant?: string;
  readonly scope?: string;
  /** Seconds from now; negative for one that has expired. */
  readonly lifetime?: number;
  /** Signed by a key that the mesh does not know. */
  readonly foreign?: boolean;
}

/** A key signed like the development key. */
export async function signed(mesh: Mesh, claims: Claims = {}): Promise<string> {
  const pem = await readFile(join(dirname(mesh.layout.paths.jwks), "signing.pem"), "utf8");
  const key =
    claims.foreign === true ? (await generateKeyPair(ALGORITHM)).privateKey : await importPKCS8(pem, ALGORITHM);
  return await new SignJWT({ tenant: claims.tenant ?? "dev", scope: claims.scope ?? "mesh.admin" })
    .setProtectedHeader({ alg: ALGORITHM, kid: "dev", typ: "JWT" })
    .setSubject("test")
    .setIssuer("uait")
    .setAudience("uait")
    .setExpirationTime(Math.floor(Date.now() / 1000) + (claims.lifetime ?? 300))
    .sign(key);
}

/** The gateway's keys, issued and revoked through the edge by the development key. */
export class Gateway {
  readonly #channel;
  readonly #client: Client<AuthServiceDefinition>;
  readonly #metadata: Metadata;

  constructor(mesh: Mesh) {
    this.#channel = createChannel(mesh.edge);
    this.#client = createClient(AuthServiceDefinition, this.#channel);
    this.#metadata = Metadata(mesh.authorization);
  }

  async issue(scopes: readonly string[]): Promise<{ readonly id: string; readonly token: string }> {
    const { key, token } = await this.#client.issueKey(
      { requestId: randomUUID(), displayName: "a test's", subject: "test", scopes: [...scopes] },
      { metadata: this.#metadata },
    );
    return { id: key?.keyId ?? "", token };
  }

  async revoke(keyId: string): Promise<void> {
    await this.#client.revokeKey({ requestId: randomUUID(), keyId, reason: "a test" }, { metadata: this.#metadata });
  }

  close(): void {
    this.#channel.close();
  }
}
