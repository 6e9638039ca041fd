import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Paths of a certificate for 127.0.0.1, its key and the authority that signed it. */
export interface Certificates {
  readonly cert: string;
  readonly key: string;
  readonly ca: string;
  remove(): void;
}

/** Makes a new authority and a certificate by it, with the machine's openssl; valid for a day. */
export function makeCertificates(): Certificates {
  const directory = mkdtempSync(join(tmpdir(), "uait-tls-"));
  const path = (name: string) => join(directory, name);
  const openssl = (...args: readonly string[]) => execFileSync("openssl", args, { stdio: "pipe" });
  const newKey = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1"];
  openssl(
    "req",
    "-x509",
    ...newKey,
    "-keyout",
    path("ca.key"),
    "-out",
    path("ca.pem"),
    "-subj",
    "/CN=uait test authority",
  );
  openssl(
    "req",
    ...newKey.slice(0, -2),
    "-keyout",
    path("key.pem"),
    "-out",
    path("request.pem"),
    "-subj",
    "/CN=127.0.0.1",
  );
  writeFileSync(path("extensions"), "subjectAltName=IP:127.0.0.1\n");
  const authority = ["-CA", path("ca.pem"), "-CAkey", path("ca.key"), "-CAcreateserial"];
  const request = ["-in", path("request.pem"), "-out", path("cert.pem"), "-extfile", path("extensions")];
  openssl("x509", "-req", "-days", "1", ...authority, ...request);
  return {
    cert: path("cert.pem"),
    key: path("key.pem"),
    ca: path("ca.pem"),
    remove: () => rmSync(directory, { recursive: true, force: true }),
  };
}
