import { execFile } from "node:child_process";
import { readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { connect as connectTls } from "node:tls";
import { promisify } from "node:util";
import { built, CATALOGUE_FILE, layout, loadCatalogue } from "@uait/cli";
import { planOf, renderMeshOnly } from "@uait/cli/envoy";
import { ChannelCredentials } from "nice-grpc";
import { afterAll, beforeAll, expect, test } from "vitest";
import { descriptorSet } from "../harness/contracts.js";
import { until } from "../harness/network.js";
import { inRepository } from "../harness/repository.js";
import { Envoy } from "./envoy.js";
import { outcomeOf } from "./outcome.js";
import { ENVOY, type Home, makeHome, renderInto } from "./rendered.js";
import { backend, Scene } from "./scene.js";

let home: Home;
beforeAll(async () => {
  home = await makeHome();
});
afterAll(() => rm(home.folder, { recursive: true, force: true }));

const validate = async (file: string): Promise<string> => {
  const { stdout, stderr } = await promisify(execFile)(ENVOY, ["--mode", "validate", "-c", file, "-l", "warning"], {
    cwd: inRepository(),
  });
  return stdout + stderr;
};

/** The services of the real catalogue, as a plan has them. */
async function catalogueBackends() {
  const catalogue = await loadCatalogue(inRepository(CATALOGUE_FILE));
  const mesh = layout(catalogue, {}, inRepository());
  const { backends } = planOf(catalogue, mesh, { files: { folder: "", descriptors: "" } });
  expect(backends.map(({ name }) => name)).toEqual([...new Set(built(mesh).map(({ service }) => service.name))]);
  return backends;
}

test.for([false, true])("configuration_of_the_catalogue_is_valid_with_mutual_tls_%s", async (mutualTls) => {
  const file = await renderInto(home, { backends: await catalogueBackends(), mutualTls });
  const output = await validate(file);
  expect(output).toContain("OK");
  // It asks for the gateway's keys before it has read the clusters, and again later.
  const lines = output.split("\n").filter((line) => !/fetch pubkey|Jwks async fetching/.test(line));
  expect(lines.join("\n")).not.toMatch(/deprecated|error|warning/i);
});

test("configuration_of_the_catalogue_is_accepted_whole", async () => {
  const backends = await catalogueBackends();
  const envoy = await Envoy.start(home, { backends });
  try {
    const rejected = await envoy.stats("(update_rejected|update_failure)$");
    // Endpoints fail to come: no balancer runs here.
    expect([...rejected].filter(([name, count]) => count > 0 && !name.endsWith("-eds.update_failure"))).toEqual([]);
    const succeeded = await envoy.stats("\\.(rds\\.(edge|mesh)|cluster_manager\\.cds)\\.update_success$");
    expect([...succeeded.values()].every((count) => count > 0)).toBe(true);
    expect(envoy.complaints().filter((line) => /deprecated|rejected|unknown field/i.test(line))).toEqual([]);
    const dump = await envoy.adminPage("/config_dump");
    expect(dump).toContain('"name": "gateway-http"');
    for (const { name } of backends)
      for (const kind of ["", "-eds", "-static"]) expect(dump).toContain(`"name": "${name}${kind}"`);
    expect(dump).not.toContain('"error_state"');
  } finally {
    await envoy.stop();
  }
});

test("configuration_refuses_no_service_for_want_of_the_balancer", async () => {
  // No balancer runs in a scene: endpoints come from the catalogue's addresses after the 1 s that Envoy waits for others.
  const scene = await Scene.open();
  try {
    const client = scene.client("mesh");
    expect(
      (await outcomeOf((options) => client.echo({ message: "x" }, options), { "x-uait-tenant": "acme" })).code,
    ).toBe("OK");
  } finally {
    await scene.close();
  }
});

test("mesh_alone_is_valid_plain_and_with_mutual_tls", async () => {
  const written = await readFile(inRepository("envoy/envoy.yaml"), "utf8");
  const descriptors = await descriptorSet();
  const address = { host: "127.0.0.1", port: 0 };
  const backends = [
    backend("echo-ts", { host: "127.0.0.1", port: 8001 }),
    backend("echo-go", { host: "127.0.0.1", port: 8002 }),
  ];
  const tls = { ca: home.tls.ca, cert: home.tls.service, key: home.tls.serviceKey };
  for (const security of [{}, { tls }]) {
    const file = join(home.folder, "mesh-only.yaml");
    await writeFile(
      file,
      renderMeshOnly({ backends, mesh: address, admin: address, ...security }, written, descriptors),
    );
    expect(await validate(file)).toContain("OK");
  }
});

test("tls_edge_serves_and_refuses_old_protocols", async () => {
  const scene = await Scene.open();
  try {
    const ca = await readFile(scene.home.tls.ca);
    const client = scene.client("edge-tls", ChannelCredentials.createSsl(ca));
    const authorization = `Bearer ${await scene.home.issuer.sign()}`;
    expect((await outcomeOf((options) => client.echo({ message: "x" }, options), { authorization })).code).toBe("OK");
    const [host = "", port] = scene.envoy.address("edge-tls").split(":");
    const old = {
      ca,
      host,
      port: Number(port),
      minVersion: "TLSv1.1",
      maxVersion: "TLSv1.1",
      ciphers: "DEFAULT@SECLEVEL=0",
    } as const;
    const refused = await new Promise<Error>((resolve, reject) => {
      connectTls(old, () => reject(new Error("TLS 1.1 was accepted"))).once("error", resolve);
    });
    expect(String(refused)).toMatch(/protocol version|alert|ECONNRESET/i);
  } finally {
    await scene.close();
  }
});

test("tls_edge_takes_a_renewed_certificate_without_restart", async () => {
  const [scene, renewed] = [await Scene.open(), await makeHome()];
  try {
    const [host = "", port] = scene.envoy.address("edge-tls").split(":");
    const served = (): Promise<string> =>
      new Promise((resolve, reject) => {
        const socket = connectTls({ host, port: Number(port), rejectUnauthorized: false }, () => {
          resolve(socket.getPeerCertificate().fingerprint256);
          socket.destroy();
        }).once("error", reject);
      });
    const before = await served();
    await rename(renewed.tls.edgeKey, scene.home.tls.edgeKey);
    await rename(renewed.tls.edge, scene.home.tls.edge);
    await until(async () => (await served()) !== before, { what: "the renewed certificate", timeoutMs: 10_000 });
  } finally {
    await scene.close();
    await rm(renewed.folder, { recursive: true, force: true });
  }
});
