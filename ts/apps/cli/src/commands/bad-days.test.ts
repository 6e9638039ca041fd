import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { openContext, ROOT } from "../context.js";
import { exists, sha256 } from "../files.js";
import { processesOf } from "../mesh/processes.js";
import { copyOfCheckout } from "../test/checkout.js";
import { ended, ground, uait } from "../test/mesh.js";
import { cachedTool } from "../tools/go-tools.js";

let env: { UAIT_HOME: string; UAIT_PORT_BASE: string };

beforeEach(async () => {
  env = await ground();
});

afterEach(() => rm(env.UAIT_HOME, { recursive: true, force: true }));

/** What is left of a mesh that did not come up: its processes, and files that were not finished. */
async function leftovers(home: string): Promise<{ processes: number[]; partial: string[] }> {
  const files = await readdir(home, { recursive: true });
  return { processes: await processesOf(home), partial: files.filter((file) => file.endsWith(".partial")) };
}

const NOTHING = { processes: [], partial: [] };

describe("make up on a bad day", () => {
  it("portInUse_namesPortServiceHolderAndHowToMove", async () => {
    const port = Number(env.UAIT_PORT_BASE) + 12;
    const server: Server = createServer();
    await new Promise<void>((ready) => server.listen(port, "127.0.0.1", ready));
    try {
      const { code, stderr } = await uait(["up"], env);
      expect(code).toBe(1);
      expect(stderr).toMatch(
        new RegExp(`port ${port}, which envoy \\(edge\\) needs, is in use by .+ \\(pid ${process.pid}\\)`),
      );
      expect(stderr).toContain("UAIT_PORT_BASE=20000 make up");
    } finally {
      await new Promise((closed) => server.close(closed));
    }
    expect(await leftovers(env.UAIT_HOME)).toEqual(NOTHING);
  });

  it("toolchainMissing_isNamedWithHowToInstallIt_andNothingBegins", async () => {
    const path = await pathWithout("go", env.UAIT_HOME);
    const { code, stdout, stderr } = await ended("make", ["up"], { ...env, PATH: path });
    expect(code).not.toBe(0);
    expect(stderr).toContain("missing: go >= 1.26 (not on PATH)");
    expect(stderr).toContain("install: https://go.dev/doc/install");
    expect(stderr).toContain("1 missing: nothing was installed or started.");
    expect(stdout).toBe("");
  });

  it("toolchainTooOld_isNamedWithTheVersionFound", async () => {
    const path = await pathWithout("cargo", env.UAIT_HOME);
    await writeFile(join(path, "cargo"), "#!/bin/sh\necho cargo 1.70.0\n", { mode: 0o755 });
    const { code, stderr } = await ended("make", ["preflight"], { ...env, PATH: path });
    expect(code).not.toBe(0);
    expect(stderr).toContain("missing: cargo >= 1.95 (found 1.70.0)");
  });

  it("diskFull_isNamedBeforeAnythingStarts", async () => {
    // A disk of its own: 1 MiB, in a mount namespace that ends with the command.
    const script = 'mount -t tmpfs -o size=1m tmpfs "$UAIT_HOME" && exec make up';
    const { code, stderr } = await ended("unshare", ["--map-root-user", "--mount", "sh", "-c", script], env);
    expect(code).not.toBe(0);
    expect(stderr).toContain(`no space is left on the disk of ${env.UAIT_HOME}: 1 MiB are free, 256 MiB are needed`);
    expect(stderr).toContain("UAIT_HOME=<folder>");
    expect(await leftovers(env.UAIT_HOME)).toEqual(NOTHING);
  });

  it("cachedToolChanged_isNamedAndNotInstalled", async () => {
    const cache = await mkdtemp(join(tmpdir(), "uait-cache-"));
    try {
      const real = await openContext(new AbortController().signal, env);
      await mkdir(join(cache, "tools"));
      await symlink(join(real.cache, "tools/uv"), join(cache, "tools/uv"));
      const jaeger = await cachedTool({ ...real, cache }, "jaeger");
      await mkdir(join(jaeger, ".."), { recursive: true });
      await writeFile(jaeger, "not what was built");
      await writeFile(`${jaeger}.sha256`, `${"0".repeat(64)}\n`);
      const { code, stderr } = await uait(["up"], { ...env, UAIT_CACHE: cache });
      expect(code).toBe(1);
      expect(stderr).toContain(
        `jaeger: ${jaeger} has sha256 ${await sha256(jaeger)}, but ${"0".repeat(64)} was written when it was built`,
      );
      expect(stderr).toContain("what to do: do not run it: rm -r");
      const installed = join(ROOT, ".uait/bin/jaeger");
      expect((await exists(installed)) ? await sha256(installed) : undefined).not.toBe(await sha256(jaeger));
    } finally {
      await rm(cache, { recursive: true });
    }
    expect(await leftovers(env.UAIT_HOME)).toEqual(NOTHING);
  });

  it("downloadWithWrongChecksum_isNamedAndNotInstalled", async () => {
    const root = await copyOfCheckout();
    const cache = await mkdtemp(join(tmpdir(), "uait-cache-"));
    try {
      const pin = join(root, "deploy/local/uv.txt");
      await writeFile(
        pin,
        (await readFile(pin, "utf8")).replaceAll(/sha256:[0-9a-f]{64}/g, `sha256:${"0".repeat(64)}`),
      );
      const { code, stderr } = await uait(["up"], { ...env, UAIT_ROOT: root, UAIT_CACHE: cache });
      expect(code).toBe(1);
      expect(stderr).toContain("uv is not what was pinned");
      expect(stderr).toContain(`Expected sha256 ${"0".repeat(64)}`);
      expect(stderr).toContain("the registry serves something else than was pinned");
      expect(await exists(join(cache, "tools/uv"))).toBe(false);
      expect(await exists(join(root, ".uait/venv"))).toBe(false);
    } finally {
      await rm(root, { recursive: true });
      await rm(cache, { recursive: true });
    }
    expect(await leftovers(env.UAIT_HOME)).toEqual(NOTHING);
  });

  it("unknownCommand_printsWhatThereIs", async () => {
    const { code, stderr } = await uait(["upp"], env);
    expect(code).toBe(1);
    expect(stderr).toContain("usage: uait <command>");
  });
});

/** A PATH on which everything of this one is but a program. */
async function pathWithout(program: string, folder: string): Promise<string> {
  const bin = join(folder, "bin");
  await mkdir(bin);
  for (const directory of (process.env["PATH"] ?? "").split(delimiter)) {
    for (const name of await readdir(directory).catch(() => [])) {
      if (name !== program) await symlink(join(directory, name), join(bin, name)).catch(() => undefined);
    }
  }
  return bin;
}
