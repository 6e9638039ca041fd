import "reflect-metadata";
import { webcrypto } from "node:crypto";
import { chmod, mkdir } from "node:fs/promises";
import { dirname } from "node:path";
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  cryptoProvider,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509Certificate,
  X509CertificateGenerator,
} from "@peculiar/x509";
import type { Catalogue } from "../catalogue/schema.js";
import { exists, textOf, writeWhole } from "../files.js";
import type { Paths } from "../layout.js";

const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;
const LIFETIME_DAYS = 365;
const RENEW_DAYS = 30;
const DAY_MS = 86_400_000;

interface Issued {
  readonly certificate: X509Certificate;
  readonly keys: webcrypto.CryptoKeyPair;
}

/**
 * Makes a development authority with one certificate for the TLS edge and one for services (both ends of mutual TLS), unless
 * they are there and valid for a month more. The authority's key is not kept: what it signed is all that it ever signs.
 *
 * @param now the time from which they are valid
 */
export async function ensureCertificates(catalogue: Catalogue, paths: Paths, now: Date): Promise<void> {
  const { tls } = paths;
  const names = [
    "localhost",
    ...catalogue.infrastructure.map(({ name }) => name),
    ...catalogue.services.map(({ name }) => name),
  ];
  if (await areCurrent(paths, names, now)) return;
  cryptoProvider.set(webcrypto as never);
  await mkdir(dirname(tls.ca), { recursive: true, mode: 0o700 });
  const authority = await issue({ subject: "CN=uait development authority", serial: "01", now });
  const edge = await issue({
    subject: "CN=localhost",
    serial: "02",
    now,
    names: ["localhost", "envoy"],
    issuer: authority,
  });
  const service = await issue({ subject: "CN=uait service", serial: "03", now, names, issuer: authority });
  await writeWhole(tls.edgeKey, await pem(edge.keys.privateKey), 0o600);
  await writeWhole(tls.edge, edge.certificate.toString("pem"), 0o600);
  await writeWhole(tls.serviceKey, await pem(service.keys.privateKey), 0o600);
  await writeWhole(tls.service, service.certificate.toString("pem"), 0o600);
  // Last: its presence says that the others are whole.
  await writeWhole(tls.ca, authority.certificate.toString("pem"), 0o600);
  for (const file of Object.values(tls)) await chmod(file, 0o600);
}

async function areCurrent(paths: Paths, names: readonly string[], now: Date): Promise<boolean> {
  const { tls } = paths;
  for (const file of Object.values(tls)) if (!(await exists(file))) return false;
  const service = new X509Certificate((await textOf(tls.service)) ?? "");
  const alternative = service.getExtension(SubjectAlternativeNameExtension);
  const listed = new Set(alternative?.names.items.map(({ value }) => value));
  return service.notAfter.getTime() - now.getTime() > RENEW_DAYS * DAY_MS && names.every((name) => listed.has(name));
}

async function issue(options: {
  subject: string;
  serial: string;
  now: Date;
  names?: readonly string[];
  issuer?: Issued;
}): Promise<Issued> {
  const keys = (await webcrypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"])) as webcrypto.CryptoKeyPair;
  const { issuer } = options;
  const certificate = await X509CertificateGenerator.create({
    serialNumber: options.serial,
    subject: options.subject,
    issuer: issuer?.certificate.subject ?? options.subject,
    notBefore: new Date(options.now.getTime() - DAY_MS),
    notAfter: new Date(options.now.getTime() + LIFETIME_DAYS * DAY_MS),
    signingAlgorithm: ALGORITHM,
    publicKey: keys.publicKey,
    signingKey: (issuer?.keys ?? keys).privateKey,
    extensions: [
      await SubjectKeyIdentifierExtension.create(keys.publicKey),
      ...(issuer === undefined
        ? [new BasicConstraintsExtension(true, 0, true), new KeyUsagesExtension(KeyUsageFlags.keyCertSign, true)]
        : [
            await AuthorityKeyIdentifierExtension.create(issuer.certificate.publicKey),
            new BasicConstraintsExtension(false, undefined, true),
            new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
            new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth, ExtendedKeyUsage.clientAuth]),
            new SubjectAlternativeNameExtension([
              ...(options.names ?? []).map((value) => ({ type: "dns" as const, value })),
              { type: "ip", value: "127.0.0.1" },
              { type: "ip", value: "::1" },
            ]),
          ]),
    ],
  });
  return { certificate, keys };
}

async function pem(key: webcrypto.CryptoKey): Promise<string> {
  const der = Buffer.from(await webcrypto.subtle.exportKey("pkcs8", key)).toString("base64");
  return `-----BEGIN PRIVATE KEY-----\n${der.match(/.{1,64}/g)?.join("\n")}\n-----END PRIVATE KEY-----\n`;
}
