import { readdir, readFile, stat } from "node:fs/promises";
import { join, relative } from "node:path";
import type { Language } from "../catalogue/schema.js";
import { type NewService, renamed, snakeCase } from "./rename.js";

/** What builds and test runs leave beside the sources. */
const BY_PRODUCT = /(^|\/)(dist|node_modules|target|__pycache__|\.[a-z_]+_cache)(\/|$)/;

const FOLDER: Readonly<Record<Language, string>> = { typescript: "ts", go: "go", rust: "rust", python: "python" };

/** A file of the new service: path from the root, text and mode. */
export interface TemplateFile {
  readonly path: string;
  readonly text: string;
  readonly mode: number;
}

/** The template of a language and its contract under the new service's names. */
export async function templateFiles(root: string, service: NewService): Promise<TemplateFile[]> {
  const snake = snakeCase(service.name);
  const language = FOLDER[service.language];
  const folder = service.language === "python" ? snake : service.name;
  return [
    ...(await copies(root, `${language}/services/echo`, `${language}/services/${folder}`, service)),
    ...(await copies(root, "proto/uait/echo/v1", `proto/uait/${snake}/v1`, service)),
  ];
}

async function copies(root: string, from: string, to: string, service: NewService): Promise<TemplateFile[]> {
  const entries = await readdir(join(root, from), { withFileTypes: true, recursive: true });
  const sources = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  const files: TemplateFile[] = [];
  for (const source of sources.sort()) {
    const inside = relative(join(root, from), source);
    if (BY_PRODUCT.test(inside)) continue;
    const path = inside === "echo.proto" ? `${snakeCase(service.name)}.proto` : inside;
    files.push({
      path: `${to}/${path}`,
      text: renamed(await readFile(source, "utf8"), service),
      mode: (await stat(source)).mode & 0o777,
    });
  }
  return files;
}
