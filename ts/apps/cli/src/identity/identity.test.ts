import { X509Certificate } from "node:crypto";
import { mkdtemp, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect, createServer, type Server } from "node:tls";
import { createLocalJWKSet, jwtVerify } from "jose";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { loadCatalogue } from "../catalogue/load.js";
import { ROOT } from "../context.js";
import { type Paths, pathsOf } from "../layout.js";
import { ensureCertificates } from "./certificates.js";
import { ensureDevelopmentKey } from "./development-key.js";

const catalogue = await loadCatalogue(`${ROOT}/deploy/mesh.yaml`);
const NOW = Date.UTC(2026, 10, 24) / 1000;
const DAY = 86_400;
let paths: Paths;

beforeEach(async () => {
  paths = pathsOf(ROOT, await mkdtemp(join(tmpdir(), "uait-identity-")));
});

afterEach(() => rm(paths.home, { recursive: true }));

const read = (file: string): Promise<string> => readFile(file, "utf8");

describe("development key", () => {
  it("token_verifiesAgainstTheJwksAndNamesTenantAndScope", async () => {
    await ensureDevelopmentKey(paths, NOW);
    const keys = createLocalJWKSet(JSON.parse(await read(paths.jwks)));
    const { payload } = await jwtVerify((await read(paths.devKey)).trim(), keys, {
      issuer: "uait",
      audience: "uait",
      currentDate: new Date(NOW * 1000),
    });
    expect(payload).toMatchObject({ sub: "dev", tenant: "dev", scope: "mesh.admin" });
  });

  it("jwks_holdsNoPrivateHalf", async () => {
    await ensureDevelopmentKey(paths, NOW);
    expect(Object.keys(JSON.parse(await read(paths.jwks)).keys[0])).not.toContain("d");
  });

  it("files_areReadableByTheirOwnerAlone", async () => {
    await ensureDevelopmentKey(paths, NOW);
    for (const file of [paths.devKey, paths.jwks, join(paths.home, "keys/signing.pem")])
      expect((await stat(file)).mode & 0o777).toBe(0o600);
  });

  it("secondTime_keepsTheToken_untilItIsAboutToEnd", async () => {
    await ensureDevelopmentKey(paths, NOW);
    const first = await read(paths.devKey);
    const jwks = await read(paths.jwks);
    await ensureDevelopmentKey(paths, NOW + 300 * DAY);
    expect(await read(paths.devKey)).toBe(first);
    await ensureDevelopmentKey(paths, NOW + 340 * DAY);
    expect(await read(paths.devKey)).not.toBe(first);
    expect(await read(paths.jwks)).toBe(jwks);
  });
});

describe("certificates", () => {
  it("handshake_needsACertificateOfTheMeshOnBothSides", async () => {
    await ensureCertificates(catalogue, paths, new Date());
    const [ca, cert, key] = await Promise.all([paths.tls.ca, paths.tls.service, paths.tls.serviceKey].map(read));
    const server: Server = createServer({ ca, cert, key, requestCert: true, rejectUnauthorized: true }, (socket) =>
      socket.end("hello"),
    );
    await new Promise<void>((ready) => server.listen(0, "127.0.0.1", ready));
    const address = server.address();
    const port = typeof address === "object" && address !== null ? address.port : 0;
    const talk = (options: { cert?: string; key?: string }): Promise<string> =>
      new Promise((settle, reject) => {
        const socket = connect({ port, host: "127.0.0.1", servername: "echo-go", ca: ca ?? "", ...options });
        let heard = "";
        socket
          .on("data", (data) => (heard += data))
          .on("end", () => settle(heard))
          .on("error", reject);
      });
    try {
      expect(await talk({ cert: cert ?? "", key: key ?? "" })).toBe("hello");
      await expect(talk({})).rejects.toThrow(/certificate required/);
    } finally {
      await new Promise((closed) => server.close(closed));
    }
  });

  it("secondTime_keepsThem_untilAMonthIsLeftOrAServiceIsNew", async () => {
    const start = new Date(NOW * 1000);
    await ensureCertificates(catalogue, paths, start);
    const first = await read(paths.tls.service);
    expect(new X509Certificate(first).subjectAltName).toContain("DNS:ml-inference");
    await ensureCertificates(catalogue, paths, new Date((NOW + 300 * DAY) * 1000));
    expect(await read(paths.tls.service)).toBe(first);
    const [template] = catalogue.services;
    if (template === undefined) throw new Error("the catalogue is empty");
    const grown = { ...catalogue, services: [...catalogue.services, { ...template, name: "price-watch" }] };
    await ensureCertificates(grown, paths, start);
    const second = await read(paths.tls.service);
    expect(new X509Certificate(second).subjectAltName).toContain("DNS:price-watch");
    await ensureCertificates(grown, paths, new Date((NOW + 340 * DAY) * 1000));
    expect(await read(paths.tls.service)).not.toBe(second);
  });

  it("keys_areReadableByTheirOwnerAlone", async () => {
    await ensureCertificates(catalogue, paths, new Date());
    for (const file of Object.values(paths.tls)) expect((await stat(file)).mode & 0o777).toBe(0o600);
  });
});
