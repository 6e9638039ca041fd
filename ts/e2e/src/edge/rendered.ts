import { mkdir, mkdtemp, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { CATALOGUE_FILE, ensureCertificates, loadCatalogue, type Paths, pathsOf, pythonPrograms } from "@uait/cli";
import { type Backend, type EnvoyPlan, LOOPBACK_ORIGINS, renderEnvoy } from "@uait/cli/envoy";
import { descriptorSet } from "../harness/contracts.js";
import { inRepository } from "../harness/repository.js";
import { Issuer } from "./keys.js";

/** The Envoy that the project installs. */
export const ENVOY = pythonPrograms(inRepository(".uait")).envoy;

/** A folder with the keys and certificates of a mesh of its own. */
export interface Home {
  readonly folder: string;
  readonly issuer: Issuer;
  readonly jwks: string;
  readonly tls: Paths["tls"];
}

/** Makes keys and certificates in a new folder. */
export async function makeHome(): Promise<Home> {
  const folder = await mkdtemp(join(tmpdir(), "uait-edge-"));
  const { jwks, tls } = pathsOf(inRepository(), folder);
  const issuer = await Issuer.create();
  await issuer.publish(jwks);
  await ensureCertificates(
    await loadCatalogue(inRepository(CATALOGUE_FILE)),
    pathsOf(inRepository(), folder),
    new Date(),
  );
  return { folder, issuer, jwks, tls };
}

/** What a test's Envoy differs in. */
export interface EnvoyOptions {
  readonly backends: readonly Backend[];
  readonly mutualTls?: boolean;
  readonly rateLimit?: EnvoyPlan["rateLimit"];
}

/** Renders the project's own configuration into a home: every port is free. Returns the path of `envoy.yaml`. */
export async function renderInto({ folder, jwks, tls }: Home, options: EnvoyOptions): Promise<string> {
  const descriptors = await descriptorSet();
  await writeFile(join(folder, "descriptors.binpb"), descriptors);
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
  return join(folder, "envoy.yaml");
}
