import { createHash } from "node:crypto";
import { OrchestratorError } from "./error.js";
import type { RunFilter, RunPosition } from "./run-store.js";

/** Token of the page after a place, good for the same filter only. */
export function pageTokenOf({ createMs, runId }: RunPosition, filter: RunFilter): string {
  return Buffer.from(JSON.stringify([createMs, runId, digestOf(filter)])).toString("base64url");
}

/** The place that a token stands for; `undefined` for the first page. @throws OrchestratorError */
export function positionIn(token: string, filter: RunFilter): RunPosition | undefined {
  if (token === "") return undefined;
  try {
    const parts: unknown = JSON.parse(Buffer.from(token, "base64url").toString());
    if (Array.isArray(parts) && parts.length === 3 && parts[2] === digestOf(filter)) {
      const [createMs, runId]: unknown[] = parts;
      if (typeof createMs === "number" && typeof runId === "string") return { createMs, runId };
    }
  } catch {
    // Not JSON: told below like every other token that is not ours.
  }
  throw new OrchestratorError({ kind: "page_token_invalid" });
}

function digestOf({ state, taskType }: RunFilter): string {
  return createHash("sha256").update(`${state}/${taskType}`).digest("base64url").slice(0, 12);
}
