import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { CATALOGUE_FILE, ensureCertificates, loadCatalogue, type Paths, pathsOf, pythonPrograms } from "@uait/cli";
import { type Backend, type EnvoyPlan, LOOPBACK_ORIGINS, renderEnvoy } from "@uait/cli/envoy";
import { inRepository } from "../harness/repository.js";
import { Issuer } from "./keys.js";

/** The Envoy that the project installs. */
export const ENVOY = pythonPrograms(inRepository(".uait")).envoy;

/** What a test's Envoy differs in. */
export interface EnvoyOptions {
  readonly backends: readonly Backend[];
  readonly mutualTls?: boolean;
  readonly rateLimit?: EnvoyPlan["rateLimit"];
}

/** A rendered configuration in a folder of its own, with keys and certificates. */
export interface Rendered {
  readonly folder: string;
  readonly issuer: Issuer;
  readonly tls: Paths["tls"];
}

/** Renders the project's own configuration for a test: every port is free, every file in a new folder. */
export async function renderForTest(options: EnvoyOptions): Promise<Rendered> {
  const folder = await mkdtemp(join(tmpdir(), "uait-edge-"));
  const issuer = await Issuer.create();
  const paths = pathsOf(inRepository(), folder);
  await issuer.publish(paths.jwks);
  await ensureCertificates(await loadCatalogue(inRepository(CATALOGUE_FILE)), paths, new Date());
  const { jwks, tls } = paths;
  const descriptors = await descriptorSet(join(folder, "descriptors.binpb"));
  const listen = { host: "127.0.0.1", port: 0 };
  const plan: EnvoyPlan = {
    backends: options.backends,
    directory: options.backends[0]?.name ?? "",
    listen: { edge: listen, edgeTls: listen, mesh: listen, admin: listen },
    // Nobody collects spans here: 9 is discard.
    otlp: { host: "127.0.0.1", port: 9 },
    files: {
      folder,
      descriptors: join(folder, "descriptors.binpb"),
      jwks,
      edgeCert: tls.edge,
      edgeKey: tls.edgeKey,
      mesh: { ca: tls.ca, cert: tls.service, key: tls.serviceKey },
    },
    mutualTls: options.mutualTls ?? false,
    corsOrigins: LOOPBACK_ORIGINS,
    rateLimit: options.rateLimit,
  };
  const written = await readFile(inRepository("envoy/envoy.yaml"), "utf8");
  for (const [path, text] of renderEnvoy(plan, written, descriptors)) {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await writeFile(join(folder, path), text);
  }
  return { folder, issuer, tls };
}

/** Builds all contracts into a descriptor set with buf and returns it. */
export async function descriptorSet(path: string): Promise<Uint8Array> {
  const buf = inRepository("ts/node_modules/.bin/buf");
  await promisify(execFile)(buf, ["build", "--as-file-descriptor-set", "-o", path], { cwd: inRepository() });
  return readFile(path);
}
