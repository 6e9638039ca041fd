import { execFile } from "node:child_process";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);

/** PEM files of a small authority and two certificates of it, for 127.0.0.1 and localhost. */
export interface Certificates {
  readonly ca: string;
  readonly edge: string;
  readonly edgeKey: string;
  readonly service: string;
  readonly serviceKey: string;
}

/** Makes an authority and its certificates in a folder, with openssl. */
export async function makeCertificates(folder: string): Promise<Certificates> {
  await mkdir(folder, { recursive: true });
  const path = (name: string): string => join(folder, name);
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  await run("openssl", ["req", "-x509", ...key, "-keyout", path("ca-key.pem"), "-out", path("ca.pem"), "-days", "2", "-subj", "/CN=test authority"]);
  await writeFile(path("san"), "subjectAltName=IP:127.0.0.1,DNS:localhost\nextendedKeyUsage=serverAuth,clientAuth\n");
  for (const name of ["edge", "service"]) {
    await run("openssl", ["req", ...key, "-keyout", path(`${name}-key.pem`), "-out", path(`${name}.csr`), "-subj", `/CN=${name}`]);
    await run("openssl", [
      ...["x509", "-req", "-in", path(`${name}.csr`), "-CA", path("ca.pem"), "-CAkey", path("ca-key.pem"), "-CAcreateserial"],
      ...["-days", "2", "-extfile", path("san"), "-out", path(`${name}.pem`)],
    ]);
  }
  return {
    ca: path("ca.pem"),
    edge: path("edge.pem"),
    edgeKey: path("edge-key.pem"),
    service: path("service.pem"),
    serviceKey: path("service-key.pem"),
  };
}
