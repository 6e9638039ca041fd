import { mkdir } from "node:fs/promises";
import { buildDescriptors, generate } from "../build/generate.js";
import type { Context } from "../context.js";
import { ensureCertificates } from "../identity/certificates.js";
import { ensureDevelopmentKey } from "../identity/development-key.js";
import { built } from "../layout.js";
import { dataPath, keepsData } from "../made/programs.js";
import { installModels } from "../tools/models.js";
import { installPython } from "../tools/python.js";
import { withCheckout } from "./up.js";

/** Makes what deploy/compose mounts or copies and no image holds: stubs, the development key, certificates, descriptors, models and folders for data. */
export async function compose(context: Context): Promise<void> {
  const { mesh, catalogue, progress } = context;
  await withCheckout(context, async () => {
    await progress.step("install the Python environment", () => installPython(context));
    await progress.step("install the models", (note) => installModels(context, note));
    await progress.step("generate", () => generate(context));
  });
  await ensureDevelopmentKey(mesh.paths, Math.floor(Date.now() / 1000));
  await ensureCertificates(catalogue, mesh.paths, new Date());
  await buildDescriptors(context);
  // A folder that the container engine has to make belongs to root, and a service could not write to it.
  for (const replica of built(mesh).filter(({ service }) => keepsData(service)))
    await mkdir(dataPath(mesh, replica), { recursive: true, mode: 0o700 });
  progress.say(
    `${mesh.paths.home} is ready: UAIT_USER=$(id -u):$(id -g) docker compose -f deploy/compose/compose.yaml up --build --wait`,
  );
}
