/** Brings a whole mesh up for the tests of this folder, on ports and in a folder of its own, and takes it down afterwards. */
import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestProject } from "vitest/node";
import { freeBase } from "../harness/network.js";
import { inRepository } from "../harness/repository.js";

declare module "vitest" {
  interface ProvidedContext {
    /** UAIT_PORT_BASE and UAIT_HOME of the mesh under test. */
    readonly mesh: { readonly UAIT_PORT_BASE: string; readonly UAIT_HOME: string };
  }
}

/** Ports that a mesh may take after its base; the layout refuses a base that leaves too few. */
const PORTS = 200;

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const home = await mkdtemp(join(tmpdir(), "uait-mesh-"));
  const mesh = { UAIT_PORT_BASE: String(await freeBase(PORTS)), UAIT_HOME: home };
  const teardown = async (): Promise<void> => {
    await cli("down", mesh);
    await rm(home, { recursive: true, force: true });
  };
  try {
    await cli("up", mesh);
  } catch (error) {
    await teardown();
    throw error;
  }
  project.provide("mesh", mesh);
  return teardown;
}

function cli(command: string, environment: Readonly<Record<string, string>>): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(
      process.execPath,
      ["--import", "tsx", "--conditions=uait-source", inRepository("ts", "apps", "cli", "src", "main.ts"), command],
      { cwd: inRepository("ts"), env: { ...process.env, ...environment }, stdio: ["ignore", "pipe", "pipe"] },
    );
    const output: string[] = [];
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (chunk: string) => output.push(chunk));
    }
    child.once("error", reject);
    child.once("close", (code) => {
      if (code === 0) resolve();
      else reject(new Error(`${command} ended with ${code}:\n${output.join("")}`));
    });
  });
}
