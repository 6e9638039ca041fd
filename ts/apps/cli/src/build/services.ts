import { join } from "node:path";
import { z } from "zod";
import type { Language, Service } from "../catalogue/schema.js";
import type { Context } from "../context.js";
import { Failure } from "../failure.js";
import { copyWhole, digest, sha256 } from "../files.js";
import { built } from "../layout.js";
import { binaryPath, descriptorPath, folderOf, readsDescriptors, readsModels } from "../made/programs.js";
import { run } from "../process.js";
import { modelsDigest } from "../tools/models.js";

/** Languages that are built before they run; Python runs from source in the environment that uv made. */
export const COMPILED = ["typescript", "go", "rust"] as const satisfies readonly Language[];
type CompiledLanguage = (typeof COMPILED)[number];

/** Builds the services of one language that have a process. */
export async function buildLanguage(
  context: Context,
  language: CompiledLanguage,
  note: (text: string) => void,
): Promise<void> {
  const services = servicesOf(context, language);
  if (services.length > 0) await BUILDERS[language](context, services, note);
}

/** Services of a language that have a process. */
export function servicesOf(context: Context, language: Language): Service[] {
  return [...new Set(built(context.mesh).map(({ service }) => service))].filter(
    (service) => service.language === language,
  );
}

/** Digest of what each process runs, by process name: it changes when a restart would run something else. */
export async function buildDigests(context: Context): Promise<Map<string, string>> {
  const digests = new Map<string, string>();
  for (const { process, service } of built(context.mesh)) {
    const parts = [await digestOf(context, service)];
    if (readsDescriptors(service)) parts.push(await sha256(descriptorPath(context.mesh)));
    if (readsModels(service)) parts.push(await modelsDigest(context));
    digests.set(process, parts.join("-"));
  }
  return digests;
}

async function digestOf(context: Context, service: Service): Promise<string> {
  const { root } = context.mesh.paths;
  const at = (path: string): string => join(root, path);
  switch (service.language) {
    case "go":
    case "rust":
      return sha256(binaryPath(context.mesh, service));
    case "typescript":
      return digest(
        [at("ts/package-lock.json"), at("ts/gen/dist"), at("ts/kit/dist"), at(`${folderOf(service)}/dist`)],
        root,
      );
    case "python":
      return digest([at("python/uv.lock"), at("python/gen"), at("python/kit"), at(folderOf(service))], root);
  }
}

type Builder = (context: Context, services: readonly Service[], note: (text: string) => void) => Promise<void>;

const BUILDERS: Readonly<Record<CompiledLanguage, Builder>> = {
  go: async ({ mesh, signal }, services, note) => {
    for (const service of services) {
      const args = [
        "build",
        "-trimpath",
        "-o",
        binaryPath(mesh, service),
        `./${folderOf(service).replace(/^go\//, "")}`,
      ];
      await run("go", args, { cwd: join(mesh.paths.root, "go"), signal, onLine: note });
    }
  },
  rust: async ({ mesh, cache, signal }, services, note) => {
    const cargo = join(mesh.paths.root, "deploy", "local", "cargo");
    const options = { cwd: join(mesh.paths.root, "rust"), env: { UAIT_CACHE: cache }, signal };
    const metadata = metadataSchema.parse(
      JSON.parse(await run(cargo, ["metadata", "--format-version=1", "--no-deps", "--locked"], options)),
    );
    const programs = services.map((service) => {
      const manifest = join(mesh.paths.root, folderOf(service), "Cargo.toml");
      const found = metadata.packages.find(({ manifest_path }) => manifest_path === manifest);
      const target = found?.targets.find(({ kind }) => kind.includes("bin"));
      if (found === undefined || target === undefined)
        throw new Failure({
          reason: "BUILD_FAILED",
          message: `${manifest} is no member of rust/Cargo.toml's workspace with a program`,
          remedy: "add it to the workspace's members",
        });
      return { service, crate: found.name, program: target.name };
    });
    const crates = programs.flatMap(({ crate }) => ["-p", crate]);
    await run(cargo, ["build", "--release", "--locked", ...crates], { ...options, onLine: note });
    for (const { service, program } of programs)
      await copyWhole(join(metadata.target_directory, "release", program), binaryPath(mesh, service));
  },
  typescript: async ({ mesh, signal }, services, note) => {
    const folders = services.map((service) => folderOf(service).replace(/^ts\//, ""));
    await run("node_modules/.bin/tsc", ["-b", ...folders], { cwd: join(mesh.paths.root, "ts"), signal, onLine: note });
  },
};

const metadataSchema = z.object({
  target_directory: z.string(),
  packages: z.array(
    z.object({
      name: z.string(),
      manifest_path: z.string(),
      targets: z.array(z.object({ name: z.string(), kind: z.array(z.string()) })),
    }),
  ),
});
