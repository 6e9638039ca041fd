import { chmod, mkdir, readFile } from "node:fs/promises";
import { buildDescriptors } from "../build/generate.js";
import { buildDigests } from "../build/services.js";
import type { Context } from "../context.js";
import { planOf, renderEnvoy } from "../envoy/index.js";
import { digest, writeWhole } from "../files.js";
import { run } from "../process.js";
import { pythonPrograms } from "../tools/python.js";
import { jaegerConfig, natsConfig } from "./infrastructure.js";
import { supervisorConfig } from "./supervisor.js";

/** Renders every configuration file of the mesh into its run folder. */
export async function renderRunFolder(context: Context): Promise<void> {
  const { mesh } = context;
  const { run: folder, data, logs, home, install } = mesh.paths;
  for (const path of [home, folder, logs, data, `${data}/nats`, `${data}/weaviate`])
    await mkdir(path, { recursive: true });
  await chmod(folder, 0o700);
  await writeWhole(`${folder}/nats.conf`, natsConfig({ mesh, data: `${data}/nats` }));
  await writeWhole(`${folder}/jaeger.yaml`, jaegerConfig({ mesh, data: `${data}/jaeger` }));
  await renderEnvoyFolder(context);
  const builds = await buildDigests(context);
  const { nats, envoy } = pythonPrograms(install);
  const infrastructure: Readonly<Record<string, readonly string[]>> = {
    nats: [nats, `${folder}/nats.conf`],
    jaeger: [`${install}/bin/jaeger`, `${folder}/jaeger.yaml`],
    weaviate: [`${install}/bin/weaviate-server`],
    envoy: [envoy, `${folder}/envoy`],
  };
  for (const [name, files] of Object.entries(infrastructure)) builds.set(name, await digest(files, "/"));
  await writeWhole(supervisorFile(context), supervisorConfig(mesh, builds), 0o600);
}

async function renderEnvoyFolder(context: Context): Promise<void> {
  const { mesh, catalogue } = context;
  const folder = `${mesh.paths.run}/envoy`;
  const descriptorFile = await buildDescriptors(context);
  const plan = planOf(catalogue, mesh, { files: { folder, descriptors: descriptorFile }, mutualTls: mesh.tls });
  const bootstrap = await readFile(`${mesh.paths.root}/envoy/envoy.yaml`, "utf8");
  const files = renderEnvoy(plan, bootstrap, await readFile(descriptorFile));
  for (const [path, text] of files) await writeWhole(`${folder}/${path}`, text);
  await run(
    pythonPrograms(mesh.paths.install).envoy,
    ["--mode", "validate", "-c", `${folder}/envoy.yaml`, "--log-level", "error"],
    {
      cwd: mesh.paths.root,
      signal: context.signal,
      remedy: "correct envoy/envoy.yaml or ts/apps/cli/src/envoy",
    },
  );
}

/** Path of the supervisor's rendered configuration. */
export function supervisorFile({ mesh }: Context): string {
  return `${mesh.paths.run}/supervisord.conf`;
}
