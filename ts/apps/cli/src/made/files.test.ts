import { execFile } from "node:child_process";
import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parse } from "yaml";
import { buildDescriptors } from "../build/generate.js";
import { check } from "../commands/check.js";
import { made } from "../commands/made.js";
import { type Context, openContext } from "../context.js";
import type { Failure } from "../failure.js";
import { ensureCertificates } from "../identity/certificates.js";
import { ensureDevelopmentKey } from "../identity/development-key.js";
import { pathsOf } from "../layout.js";
import { copyOfCheckout } from "../test/checkout.js";
import { installGoTool } from "../tools/go-tools.js";
import { pythonPrograms } from "../tools/python.js";
import { madeFiles } from "./files.js";

const execute = promisify(execFile);
let context: Context;
let files: Map<string, string>;

beforeAll(async () => {
  context = await openContext(new AbortController().signal, {});
  files = await madeFiles(context);
});

describe("made files", () => {
  it("supervisorFile_hasEveryProcessAndNoPathOfThisMachine", () => {
    const text = files.get("deploy/local/supervisord.conf") ?? "";
    const programs = [...text.matchAll(/^\[program:(.+)\]$/gm)].map((match) => match[1]);
    expect(programs).toEqual([
      ...["nats", "jaeger", "weaviate", "envoy"],
      ...context.catalogue.services.filter(({ state }) => state === "built").map(({ name }) => name),
    ]);
    expect(text).not.toContain(context.mesh.paths.root);
  });

  it("supervisorFile_killsNothingBeforeItHasDrained", () => {
    for (const section of (files.get("deploy/local/supervisord.conf") ?? "").split("[program:").slice(1)) {
      const value = (name: string): number => Number(new RegExp(`${name}="?(\\d+)`).exec(section)?.[1] ?? 0);
      expect(value("stopwaitsecs") * 1000).toBeGreaterThan(
        value("UAIT_DRAIN_DELAY_MS") + value("UAIT_DRAIN_TIMEOUT_MS"),
      );
    }
  });

  it("composeFile_isAcceptedByComposesOwnLoader", async () => {
    const program = await installGoTool(context, "compose-go");
    const folder = await mkdtemp(join(tmpdir(), "uait-compose-"));
    try {
      for (const [path, text] of files) {
        await mkdir(dirname(join(folder, path)), { recursive: true });
        await writeFile(join(folder, path), text);
      }
      const file = join(folder, "deploy/compose/compose.yaml");
      const { stdout } = await execute(program, [file], { cwd: folder });
      expect(Object.keys(parse(stdout).services)).toContain("echo-rust");
      await writeFile(file, (files.get("deploy/compose/compose.yaml") ?? "").replace("restart:", "restrat:"));
      await expect(execute(program, [file], { cwd: folder })).rejects.toThrow(/restrat/);
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  it("composeEnvoy_isAcceptedByEnvoy", async () => {
    const folder = await mkdtemp(join(tmpdir(), "uait-compose-envoy-"));
    try {
      const paths = pathsOf(context.mesh.paths.root, `${folder}/home`);
      await ensureDevelopmentKey(paths, Math.floor(Date.now() / 1000));
      await ensureCertificates(context.catalogue, paths, new Date());
      await buildDescriptors({ ...context, mesh: { ...context.mesh, paths } });
      for (const [path, text] of files) {
        if (!path.startsWith("deploy/compose/envoy/")) continue;
        const file = join(folder, path.replace("deploy/compose/", ""));
        await mkdir(dirname(file), { recursive: true });
        // As the containers mount them.
        await writeFile(file, text.replaceAll("/etc/envoy", `${folder}/envoy`).replaceAll("/uait/", `${folder}/home/`));
      }
      const { envoy } = pythonPrograms(context.mesh.paths.install);
      await execute(envoy, ["--mode", "validate", "-c", `${folder}/envoy/envoy.yaml`, "--log-level", "error"]);
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  it("composeFile_pinsEveryImageAndBuildsFromFilesThatExist", async () => {
    const { services } = parse(files.get("deploy/compose/compose.yaml") ?? "") as {
      services: Record<string, { image: string; build?: { dockerfile: string } }>;
    };
    for (const { image, build } of Object.values(services)) {
      if (build === undefined) expect(image).toMatch(/:v?\d+\.\d+\.\d+(-alpine)?$/);
      else
        await expect(execute("test", ["-f", join(context.mesh.paths.root, build.dockerfile)])).resolves.toBeDefined();
    }
  });

  it("placeholders_becomeAddressesAndTheFolderThatAServiceKeeps", () => {
    const supervised = files.get("deploy/local/supervisord.conf") ?? "";
    expect(supervised).toContain('UAIT_WEAVIATE_URL="http://127.0.0.1:8081",UAIT_WEAVIATE_GRPC="127.0.0.1:50051"');
    expect(supervised).toContain('UAIT_DATA_DIR="%(ENV_UAIT_HOME)s/data/memory"');
    const { services } = parse(files.get("deploy/compose/compose.yaml") ?? "");
    expect(services["weaviate-client"].environment).toMatchObject({
      UAIT_WEAVIATE_URL: "http://weaviate:8081",
      UAIT_WEAVIATE_GRPC: "weaviate:50051",
    });
    expect(services.memory.environment.UAIT_DATA_DIR).toBe("/uait/data/memory");
    expect(services.memory.volumes).toContain(`$\{UAIT_HOME:-../../.uait}/data/memory:/uait/data/memory`);
  });

  it("catalogueNamesEachServiceOfTheContractsOnce", async () => {
    const { stdout } = await execute(
      "grep",
      ["-rhoE", "--include=*.proto", "^(package|service) [A-Za-z0-9_.]+", "proto/uait"],
      { cwd: context.mesh.paths.root },
    );
    const declared: string[] = [];
    let pkg = "";
    for (const [kind, name] of stdout
      .trim()
      .split("\n")
      .map((line) => line.split(" "))) {
      if (kind === "package") pkg = name ?? "";
      else declared.push(`${pkg}.${name}`);
    }
    const listed = new Set(
      context.catalogue.services.flatMap(({ grpc }) => grpc).filter((name) => name.startsWith("uait.")),
    );
    expect(declared.sort()).toEqual([...listed].sort());
  });
});

describe("check", () => {
  let root: string;

  beforeAll(async () => {
    root = await copyOfCheckout();
    await symlink(join(context.mesh.paths.root, "ts/node_modules"), join(root, "ts/node_modules"));
  });

  afterAll(() => rm(root, { recursive: true }));

  it("changedCatalogue_namesEveryFileThatDrifted_untilTheyAreMade", async () => {
    const copy = await openContext(new AbortController().signal, { UAIT_ROOT: root });
    await made(copy);
    await check(copy);
    const services = copy.catalogue.services.map((service) =>
      service.name === "echo-go" ? { ...service, port: 8009 } : service,
    );
    const moved = { ...copy, catalogue: { ...copy.catalogue, services } };
    const failure: Failure = await check(moved).then(
      () => Promise.reject(new Error("check accepted drift")),
      (cause) => cause,
    );
    expect(failure.reason).toBe("DRIFT");
    const named = failure.message.split("\n").map((line) => line.split(" ")[0]);
    expect(named).toEqual(
      expect.arrayContaining([
        "deploy/local/supervisord.conf",
        "deploy/compose/compose.yaml",
        "envoy/made/clusters.yaml",
        "README.md",
      ]),
    );
    await made(moved);
    await check(moved);
  });
});
