import { cp, mkdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { bufPath } from "../build/generate.js";
import { type Context, openContext, ROOT } from "../context.js";
import { exists } from "../files.js";
import { run } from "../process.js";
import { copyOfCheckout } from "../test/checkout.js";
import { check } from "./check.js";
import { create } from "./new.js";

let root: string;
let context: Context;

// One copy for all: what is refused writes nothing, which each such test looks at, and the last adds a service.
beforeAll(async () => {
  root = await copyOfCheckout();
  await symlink(join(ROOT, "ts/node_modules"), join(root, "ts/node_modules"));
  await mkdir(join(root, ".uait"));
  await symlink(join(ROOT, ".uait/venv"), join(root, ".uait/venv"));
  context = await openContext(new AbortController().signal, { UAIT_ROOT: root });
});

afterAll(() => rm(root, { recursive: true }));

it.each([
  [{ name: "memory", lang: "go" }, "memory is in the catalogue already"],
  [{ name: "Price_Watch", lang: "go" }, "NAME=Price_Watch: must be lower-case words"],
  [{ name: "price-watch", lang: "cobol" }, "LANG=cobol: must be typescript, go, rust, python"],
  [{ lang: "go" }, "NAME=: must be"],
])("new_%o_isRefusedAndWritesNothing", async (options, message) => {
  const before = await readFile(join(root, "deploy/mesh.yaml"), "utf8");
  await expect(create(context, options)).rejects.toThrow(message);
  expect(await readFile(join(root, "deploy/mesh.yaml"), "utf8")).toBe(before);
  expect(await exists(join(root, "proto/uait/price_watch"))).toBe(false);
});

it("new_go_buildsPassesItsTestsAndIsInEverythingMade", { timeout: 300_000 }, async () => {
  await create(context, { name: "price-watch", lang: "go" });
  const extended = await openContext(context.signal, { UAIT_ROOT: root });
  expect(extended.catalogue.services.at(-1)).toMatchObject({
    name: "price-watch",
    language: "go",
    port: 8040,
    grpc: ["uait.price_watch.v1.PriceWatchService"],
  });
  await check(extended);
  expect(await readFile(join(root, "deploy/local/supervisord.conf"), "utf8")).toContain("[program:price-watch]");
  const contract = await readFile(join(root, "proto/uait/price_watch/v1/price_watch.proto"), "utf8");
  expect(contract).toContain("package uait.price_watch.v1;");
  expect(contract).toContain('post: "/api/v1/price-watch"');
  await run(bufPath(root), ["lint"], { cwd: root });
  await generateContract("proto/uait/price_watch");
  // The vet of `go vet`. Without paths, what the checkout has built for its own folder serves in this one too.
  const env = { GOFLAGS: "-trimpath" };
  await run("go", ["test", "-vet=all", "./services/price-watch/..."], { cwd: join(root, "go"), env });
});

/** Generates the stubs of one folder of contracts in each language; Go's others are those of this checkout. */
async function generateContract(folder: string): Promise<void> {
  // Only packages of others are excluded, and buf refuses to exclude what a path leaves out already.
  const template = (await readFile(join(root, "buf.gen.yaml"), "utf8")).replaceAll(/^ +exclude_types:.*\n/gm, "");
  await writeFile(join(root, "buf.gen.contract.yaml"), template);
  await run(bufPath(root), ["generate", "--template", "buf.gen.contract.yaml", "--path", folder], { cwd: root });
  await cp(join(ROOT, "go/gen"), join(root, "go/gen"), { recursive: true, force: false });
}
