import { spawn } from "node:child_process";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { loadCatalogue } from "../catalogue/load.js";
import { ROOT } from "../context.js";
import { layout } from "../layout.js";
import { claims, requireFree } from "../mesh/ports.js";

/** How a command of the CLI ended. */
export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

let built: Promise<Ended> | undefined;

/** Runs the CLI, built: it starts in half the time of `make`'s, which is transpiled as it loads. `undefined` removes a variable. */
export async function uait(args: readonly string[], env: Readonly<Record<string, string | undefined>>): Promise<Ended> {
  built ??= ended("node", ["ts/node_modules/typescript/bin/tsc", "-b", "ts/apps/cli"], {});
  const { code, stdout } = await built;
  if (code !== 0) throw new Error(`the CLI does not build:\n${stdout}`);
  return ended("node", ["ts/apps/cli/dist/main.js", ...args], env);
}

/** Runs a program from the root of the checkout to its end. */
export async function ended(
  command: string,
  args: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): Promise<Ended> {
  const child = spawn(command, args, { cwd: ROOT, env: { ...process.env, ...env }, stdio: ["ignore", "pipe", "pipe"] });
  const [stdout, stderr, code] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    new Promise<number | null>((settle, reject) => child.once("error", reject).once("close", settle)),
  ]);
  return { code, stdout, stderr };
}

/**
 * Bases of meshes: below the ports that kernels give to connections and to who asks for any, so that none of a mesh's is
 * taken while it is away.
 */
const FIRST_BASE = 10_000;
const BASES = 100;
const PORTS_OF_A_MESH = 100;

// Processes begin with different bases.
let base = process.pid;

/** A folder for a mesh of its own and a base from which all its ports are free. */
export async function ground(): Promise<{ UAIT_HOME: string; UAIT_PORT_BASE: string }> {
  const catalogue = await loadCatalogue(`${ROOT}/deploy/mesh.yaml`);
  for (;;) {
    const UAIT_PORT_BASE = String(FIRST_BASE + (base++ % BASES) * PORTS_OF_A_MESH);
    try {
      await requireFree(claims(catalogue, layout(catalogue, { UAIT_PORT_BASE }, ROOT)));
      return { UAIT_HOME: await mkdtemp(join(tmpdir(), "uait-home-")), UAIT_PORT_BASE };
    } catch {
      // Somebody's port is among them: the next base.
    }
  }
}
