import { homedir } from "node:os";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { CATALOGUE_FILE, loadCatalogue } from "./catalogue/load.js";
import type { Catalogue } from "./catalogue/schema.js";
import { type Layout, layout } from "./layout.js";
import { type Progress, progressOn } from "./progress.js";

/** What every command works with. */
export interface Context {
  readonly catalogue: Catalogue;
  readonly mesh: Layout;
  readonly progress: Progress;
  /** Build caches, outside the checkout: UAIT_CACHE, or ~/.cache/uait. */
  readonly cache: string;
  readonly signal: AbortSignal;
}

/** The checkout that this file is in. */
export const ROOT = resolve(fileURLToPath(import.meta.url), "../../../../..");

/** Reads the catalogue and the environment. */
export async function openContext(signal: AbortSignal, environment: NodeJS.ProcessEnv = process.env): Promise<Context> {
  const root = environment["UAIT_ROOT"] ? resolve(environment["UAIT_ROOT"]) : ROOT;
  const catalogue = await loadCatalogue(`${root}/${CATALOGUE_FILE}`);
  const { UAIT_PORT_BASE, UAIT_TLS, UAIT_MODELS } = environment;
  const UAIT_HOME = environment["UAIT_HOME"] ? resolve(environment["UAIT_HOME"]) : undefined;
  return {
    catalogue,
    mesh: layout(catalogue, { UAIT_PORT_BASE, UAIT_TLS, UAIT_HOME, UAIT_MODELS }, root),
    progress: progressOn(process.stdout),
    cache: environment["UAIT_CACHE"] ? resolve(environment["UAIT_CACHE"]) : resolve(homedir(), ".cache/uait"),
    signal,
  };
}
