import { isJsonObject, type Json, type JsonObject } from "./json.js";

/**
 * Compares what came with a subset of what it must hold.
 *
 * A string that begins with `~` is a regular expression that must match somewhere in the value.
 *
 * @returns what differs, or `undefined`.
 */
export function mismatch(expected: Json, came: Json | undefined, path = ""): string | undefined {
  const differs = () => `${path || "value"}: expected ${JSON.stringify(expected)}, came ${JSON.stringify(came)}`;
  if (typeof expected === "string" && expected.startsWith("~")) {
    const text = typeof came === "string" || typeof came === "number" ? String(came) : undefined;
    return text !== undefined && new RegExp(expected.slice(1), "u").test(text) ? undefined : differs();
  }
  if (isJsonObject(expected)) return isJsonObject(came) ? objectMismatch(expected, came, path) : differs();
  if (Array.isArray(expected)) {
    if (!Array.isArray(came) || came.length !== expected.length) return differs();
    return first(expected.map((item, index) => mismatch(item, came[index], `${path}[${index}]`)));
  }
  return expected === came ? undefined : differs();
}

function objectMismatch(expected: JsonObject, came: JsonObject, path: string): string | undefined {
  const prefix = path === "" ? "" : `${path}.`;
  return first(Object.entries(expected).map(([key, item]) => mismatch(item, came[key], prefix + key)));
}

function first(results: readonly (string | undefined)[]): string | undefined {
  return results.find((result) => result !== undefined);
}
