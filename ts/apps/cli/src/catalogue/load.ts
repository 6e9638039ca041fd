import { readFile } from "node:fs/promises";
import { isNode, LineCounter, parseDocument } from "yaml";
import { Failure } from "../failure.js";
import { violations } from "./rules.js";
import { type Catalogue, catalogueSchema } from "./schema.js";

/** Path of the catalogue within the repository. */
export const CATALOGUE_FILE = "deploy/mesh.yaml";

/**
 * Reads and checks the catalogue.
 *
 * @param file its path, named in errors
 * @throws Failure `CATALOGUE_INVALID` with one line for each fault, each with its line number
 */
export async function loadCatalogue(file: string): Promise<Catalogue> {
  return parseCatalogue(await readFile(file, "utf8"), file);
}

/** Checks the text of a catalogue; see loadCatalogue. */
export function parseCatalogue(text: string, file: string = CATALOGUE_FILE): Catalogue {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, uniqueKeys: true });
  const at = (path: readonly (string | number)[]): string => {
    for (let length = path.length; length > 0; length--) {
      const node = document.getIn(path.slice(0, length), true);
      if (isNode(node) && node.range) return `${file}:${lines.linePos(node.range[0]).line}`;
    }
    return file;
  };
  const refuse = (faults: string[]): never => {
    throw new Failure({
      reason: "CATALOGUE_INVALID",
      message: faults.join("\n"),
      remedy: `correct ${file}; its head and ts/apps/cli/src/catalogue/schema.ts explain the fields`,
    });
  };
  if (document.errors.length > 0)
    refuse(document.errors.map((error) => `${file}:${error.linePos?.[0].line ?? 1}: ${error.message.split("\n")[0]}`));
  const parsed = catalogueSchema.safeParse(document.toJS());
  if (!parsed.success) {
    return refuse(
      parsed.error.issues.map((issue) => {
        const path = issue.path.map((part) => (typeof part === "symbol" ? String(part) : part));
        return `${at(path)}: ${path.join(".") || "catalogue"}: ${issue.message}`;
      }),
    );
  }
  const broken = violations(parsed.data);
  if (broken.length > 0) refuse(broken.map(({ path, message }) => `${at(path)}: ${message}`));
  return parsed.data;
}
