import { spawn } from "node:child_process";
import { mkdtemp } from "node:fs/promises";
import { createServer } from "node:net";
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

/** Runs the CLI as the Makefile does. `undefined` removes a variable. */
export function uait(args: readonly string[], env: Readonly<Record<string, string | undefined>>): Promise<Ended> {
  const tsx = join(ROOT, "ts/node_modules/tsx/dist/esm/index.mjs");
  return ended(
    "node",
    ["--import", tsx, "--conditions=uait-source", join(ROOT, "ts/apps/cli/src/main.ts"), ...args],
    env,
  );
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

/** A folder for a mesh of its own and a base from which all its ports are free. */
export async function ground(): Promise<{ UAIT_HOME: string; UAIT_PORT_BASE: string }> {
  const catalogue = await loadCatalogue(`${ROOT}/deploy/mesh.yaml`);
  for (;;) {
    const base = String(await freePort());
    try {
      await requireFree(claims(catalogue, layout(catalogue, { UAIT_PORT_BASE: base }, ROOT)));
      return { UAIT_HOME: await mkdtemp(join(tmpdir(), "uait-home-")), UAIT_PORT_BASE: base };
    } catch {
      // Too near to the end, or somebody's port is among them: the next base.
    }
  }
}

function freePort(): Promise<number> {
  return new Promise((settle, reject) => {
    const server = createServer().once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      const port = typeof address === "object" && address !== null ? address.port : 0;
      server.close(() => settle(port));
    });
  });
}
