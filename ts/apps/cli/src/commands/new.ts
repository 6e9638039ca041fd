import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { CATALOGUE_FILE, parseCatalogue } from "../catalogue/load.js";
import { httpPort } from "../catalogue/rules.js";
import { type Catalogue, LANGUAGES, type Language, type Layer } from "../catalogue/schema.js";
import type { Context } from "../context.js";
import { Failure } from "../failure.js";
import { exists, writeWhole } from "../files.js";
import { folderOf } from "../made/programs.js";
import { run } from "../process.js";
import { templateFiles } from "../template/files.js";
import { type NewService, pascalCase, snakeCase } from "../template/rename.js";
import { made } from "./made.js";

/** Ports from which a new service takes the first that is free. */
const FIRST_PORT = 8040;
const LAST_PORT = 8079;

const LAYER: Readonly<Record<Language, Layer>> = {
  typescript: "orchestration",
  go: "data",
  rust: "compute",
  python: "compute",
};
const ALIASES: Readonly<Record<string, Language>> = { ts: "typescript", py: "python", rs: "rust" };

/**
 * Makes a new service from the living template of its language: folder, contract, catalogue entry, and everything made from it.
 *
 * @throws Failure `USAGE` or `NAME_TAKEN`; then nothing was written
 */
export async function create(
  context: Context,
  options: { name?: string | undefined; lang?: string | undefined },
): Promise<void> {
  const { catalogue, progress } = context;
  const { root } = context.mesh.paths;
  const service = serviceOf(catalogue, options);
  const text = await readFile(join(root, CATALOGUE_FILE), "utf8");
  const extended = `${text.trimEnd()}\n${entryOf(service)}`;
  const entered = parseCatalogue(extended).services.find(({ name }) => name === service.name);
  if (entered === undefined) throw new Error(`${CATALOGUE_FILE} does not end with its services`);
  const folder = folderOf(entered);
  const proto = `proto/uait/${snakeCase(service.name)}`;
  for (const path of [folder, proto]) {
    if (await exists(join(root, path)))
      throw new Failure({
        reason: "NAME_TAKEN",
        message: `${path} exists already`,
        remedy: "choose another NAME, or remove that folder",
      });
  }
  try {
    for (const file of await templateFiles(root, service))
      await writeWhole(join(root, file.path), file.text, file.mode);
    await REGISTER[service.language](context, folder);
    await writeWhole(join(root, CATALOGUE_FILE), extended);
  } catch (cause) {
    for (const path of [folder, proto]) await rm(join(root, path), { recursive: true, force: true });
    throw cause;
  }
  await made({ ...context, catalogue: parseCatalogue(extended) });
  progress.say(`
${service.name} is in ${folder}, its contract in ${proto}/v1, its port is ${service.port}.
  now: change the contract, make gen, change the handler until its cases pass, say its purpose and calls in ${CATALOGUE_FILE}, make made`);
}

function serviceOf(
  catalogue: Catalogue,
  { name, lang }: { name?: string | undefined; lang?: string | undefined },
): NewService {
  const language = ALIASES[lang ?? ""] ?? LANGUAGES.find((known) => known === lang);
  if (name === undefined || !/^[a-z][a-z0-9]*(-[a-z0-9]+)*$/.test(name) || name.length > 63)
    throw new Failure({
      reason: "USAGE",
      message: `NAME=${name ?? ""}: must be lower-case words of letters and digits joined by hyphens, at most 63 characters`,
      remedy: "make new NAME=price-watch LANG=go",
    });
  if (language === undefined)
    throw new Failure({
      reason: "USAGE",
      message: `LANG=${lang ?? ""}: must be ${LANGUAGES.join(", ")}, or ts, rs, py`,
      remedy: "make new NAME=price-watch LANG=go",
    });
  const taken = new Set([...catalogue.services, ...catalogue.infrastructure].map((part) => part.name as string));
  if (taken.has(name))
    throw new Failure({
      reason: "NAME_TAKEN",
      message: `${name} is in the catalogue already`,
      remedy: "choose another NAME",
    });
  const ports = new Set([
    ...catalogue.services.flatMap((service) => [service.port, httpPort(service)]),
    ...catalogue.infrastructure.flatMap((part) => Object.values(part.ports)),
  ]);
  for (let port = FIRST_PORT; port <= LAST_PORT; port++) if (!ports.has(port)) return { name, language, port };
  throw new Failure({
    reason: "USAGE",
    message: `ports ${FIRST_PORT} to ${LAST_PORT} are all taken`,
    remedy: "widen the range in ts/apps/cli/src/commands/new.ts",
  });
}

function entryOf({ name, language, port }: NewService): string {
  return `
  - name: ${name}
    language: ${language}
    layer: ${LAYER[language]}
    port: ${port}
    grpc: [uait.${snakeCase(name)}.v1.${pascalCase(name)}Service]
    state: built
    purpose: echoes, until its author says otherwise
    resources: {cpu: 0.5, memory_mib: 192}
`;
}

/** What makes a language's build know the new folder. */
const REGISTER: Readonly<Record<Language, (context: Context, folder: string) => Promise<void>>> = {
  // One module: its packages are whatever folders there are.
  go: async () => {},
  python: async () => {},
  // The workspace takes every folder of services/; its lock file names each member.
  rust: async ({ mesh, signal }) => {
    await run("cargo", ["metadata", "--format-version=1", "--no-deps"], { cwd: join(mesh.paths.root, "rust"), signal });
    await run("cargo", ["update", "--workspace", "--offline"], { cwd: join(mesh.paths.root, "rust"), signal });
  },
  typescript: async ({ mesh, signal }, folder) => {
    const file = join(mesh.paths.root, "ts/tsconfig.json");
    const config = await readFile(file, "utf8");
    const reference = `    { "path": "${folder.replace(/^ts\//, "")}" },\n`;
    await writeWhole(file, config.replace(/^( {4}\{ "path": "services\/echo" \},\n)/m, `$1${reference}`));
    await run("npm", ["install", "--no-audit", "--no-fund", "--loglevel=error"], {
      cwd: join(mesh.paths.root, "ts"),
      signal,
    });
  },
};
