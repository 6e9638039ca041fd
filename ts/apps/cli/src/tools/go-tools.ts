import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Context } from "../context.js";
import { Failure } from "../failure.js";
import { copyWhole, digest, exists, place, requireSpace, sha256, textOf, writeWhole } from "../files.js";
import { run } from "../process.js";

/** A program built from a Go module that deploy/tools pins. */
interface GoTool {
  /** Folder under deploy/tools with go.mod and go.sum. */
  readonly module: string;
  readonly package: string;
  /** Module whose version in go.mod is the tool's. */
  readonly source: string;
}

/** Every tool that is built from source, by the name of its program. */
export const GO_TOOLS = {
  jaeger: {
    module: "jaeger",
    package: "github.com/jaegertracing/jaeger/cmd/jaeger",
    source: "github.com/jaegertracing/jaeger",
  },
  "weaviate-server": {
    module: "weaviate",
    package: "github.com/weaviate/weaviate/cmd/weaviate-server",
    source: "github.com/weaviate/weaviate",
  },
  grpcurl: {
    module: "clients",
    package: "github.com/fullstorydev/grpcurl/cmd/grpcurl",
    source: "github.com/fullstorydev/grpcurl",
  },
  ghz: { module: "clients", package: "github.com/bojand/ghz/cmd/ghz", source: "github.com/bojand/ghz" },
  "compose-go": {
    module: "compose",
    package: "github.com/compose-spec/compose-go/v2/cmd",
    source: "github.com/compose-spec/compose-go/v2",
  },
} as const satisfies Record<string, GoTool>;

/** Name of a program of GO_TOOLS. */
export type GoToolName = keyof typeof GO_TOOLS;

/** MiB that a first build of Jaeger and Weaviate takes in Go's caches and ours. */
const BUILD_MEBIBYTES = 4096;

/** Path of an installed tool. */
export function toolPath(context: Pick<Context, "mesh">, name: string): string {
  return `${context.mesh.paths.install}/bin/${name}`;
}

/** Version of a tool's source module, as its go.mod pins it, without the `v`. */
export async function pinnedVersion(root: string, name: GoToolName): Promise<string> {
  const tool = GO_TOOLS[name];
  const text = await readFile(`${root}/deploy/tools/${tool.module}/go.mod`, "utf8");
  const version = text
    .split("\n")
    .map((line) =>
      line
        .trim()
        .replace(/^require /, "")
        .split(/\s+/),
    )
    .find(([module]) => module === tool.source)?.[1];
  if (version === undefined) throw new Error(`deploy/tools/${tool.module}/go.mod does not require ${tool.source}`);
  return version.replace(/^v/, "");
}

/**
 * Puts a tool into the checkout's `.uait/bin`. The cache is keyed by name, version, module files and compiler; every use of it
 * is checked against the SHA-256 written when it was built, and the build itself against the committed go.sum.
 */
export async function installGoTool(context: Context, name: GoToolName): Promise<string> {
  const { cache, signal } = context;
  const tool = GO_TOOLS[name];
  const folder = moduleFolder(context, name);
  const cached = await cachedTool(context, name);
  if (!(await exists(cached))) {
    await requireSpace(cache, BUILD_MEBIBYTES);
    await context.progress.step(`build ${name} (once)`, async (note) => {
      const args = ["build", "-trimpath", "-mod=readonly", "-ldflags=-s -w"];
      await place(cached, async (partial) => {
        await run("go", [...args, "-o", partial, tool.package], {
          cwd: folder,
          signal,
          onLine: note,
          reason: "INSTALL_FAILED",
        });
        await writeWhole(`${cached}.sha256`, `${await sha256(partial)}\n`);
      });
    });
  }
  await verifyCached(cached, name);
  const installed = toolPath(context, name);
  if (!(await exists(installed)) || (await sha256(installed)) !== (await sha256(cached)))
    await copyWhole(cached, installed);
  return installed;
}

/** Path of a tool in the cache, whether it is there or not. */
export async function cachedTool(context: Context, name: GoToolName): Promise<string> {
  const folder = moduleFolder(context, name);
  const compiler = await run("go", ["env", "GOVERSION", "GOOS", "GOARCH"], { cwd: folder, signal: context.signal });
  const files = await digest([join(folder, "go.mod"), join(folder, "go.sum")], folder);
  const version = await pinnedVersion(context.mesh.paths.root, name);
  return join(context.cache, "tools", name, `${version}-${files.slice(0, 12)}-${compiler.split("\n").join("-")}`, name);
}

function moduleFolder({ mesh }: Context, name: GoToolName): string {
  return join(mesh.paths.root, "deploy/tools", GO_TOOLS[name].module);
}

async function verifyCached(cached: string, name: string): Promise<void> {
  const expected = (await textOf(`${cached}.sha256`))?.trim();
  const found = await sha256(cached);
  if (found === expected) return;
  throw new Failure({
    reason: "CHECKSUM_MISMATCH",
    message: `${name}: ${cached} has sha256 ${found}, but ${expected ?? "nothing"} was written when it was built`,
    remedy: `do not run it: rm -r ${join(cached, "..")} and run make up, which builds it anew from the pinned source`,
  });
}
