import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { CATALOGUE_FILE, ensureCertificates, loadCatalogue, pathsOf, pythonPrograms } from "@uait/cli";
import { type Backend, renderMeshOnly } from "@uait/cli/envoy";
import { descriptorSet } from "../harness/contracts.js";
import { freePorts, until } from "../harness/network.js";
import { Process } from "../harness/process.js";
import { inRepository } from "../harness/repository.js";
import type { Tls } from "./run.js";

/** Makes a certificate authority and the certificate that both ends of each connection show. */
export async function makeTls(home: string): Promise<Tls> {
  const paths = pathsOf(inRepository(), home);
  await ensureCertificates(await loadCatalogue(inRepository(CATALOGUE_FILE)), paths, new Date());
  return { cert: paths.tls.service, key: paths.tls.serviceKey, ca: paths.tls.ca };
}

export interface EnvoyOptions {
  readonly folder: string;
  /** Port of each backend, by catalogue name. */
  readonly backends: ReadonlyMap<string, number>;
  readonly tls?: Tls;
  /** Port of the collector that gets spans; none are made when absent. */
  readonly otlp?: number;
}

export interface RunningEnvoy {
  readonly process: Process;
  /** Port of the mesh listener. */
  readonly port: number;
}

/** Starts Envoy with the mesh listener alone, over the given backends. */
export async function startEnvoy(options: EnvoyOptions): Promise<RunningEnvoy> {
  const { folder, tls, otlp } = options;
  await mkdir(folder, { recursive: true });
  const [port = 0, admin = 0] = await freePorts(2);
  const backends: Backend[] = [...options.backends].map(([name, backend]) => ({
    name,
    area: "echo",
    grpc: ["uait.echo.v1.EchoService"],
    healthService: "",
    addresses: [{ host: "127.0.0.1", port: backend }],
  }));
  const configuration = renderMeshOnly(
    {
      backends,
      mesh: { host: "127.0.0.1", port },
      admin: { host: "127.0.0.1", port: admin },
      ...(tls === undefined ? {} : { tls }),
      ...(otlp === undefined ? {} : { otlp: { host: "127.0.0.1", port: otlp } }),
    },
    await readFile(inRepository("envoy", "envoy.yaml"), "utf8"),
    await descriptorSet(),
  );
  const file = join(folder, "envoy.yaml");
  await writeFile(file, configuration);
  const process = new Process({
    name: "envoy",
    command: [
      pythonPrograms(inRepository(".uait")).envoy,
      ...["-c", file, "--use-dynamic-base-id", "--log-level", "warning", "--concurrency", "2"],
    ],
  });
  await until(async () => process.running && (await fetch(`http://127.0.0.1:${admin}/ready`)).ok, {
    what: "Envoy is ready",
    timeoutMs: 20_000,
  });
  return { process, port };
}
