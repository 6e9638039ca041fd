import { mkdir, readFile, rm, symlink } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { bufPath } from "../build/generate.js";
import { type Context, openContext, ROOT } from "../context.js";
import { exists } from "../files.js";
import { run } from "../process.js";
import { copyOfCheckout } from "../test/checkout.js";
import { check } from "./check.js";
import { create } from "./new.js";

let root: string;
let context: Context;

beforeEach(async () => {
  root = await copyOfCheckout();
  await symlink(join(ROOT, "ts/node_modules"), join(root, "ts/node_modules"));
  await mkdir(join(root, ".uait"));
  await symlink(join(ROOT, ".uait/venv"), join(root, ".uait/venv"));
  context = await openContext(new AbortController().signal, { UAIT_ROOT: root });
});

afterEach(() => rm(root, { recursive: true }));

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
  await run(bufPath(root), ["generate"], { cwd: root });
  await run("go", ["vet", "./services/price-watch/..."], { cwd: join(root, "go") });
  await run("go", ["test", "./services/price-watch/..."], { cwd: join(root, "go") });
});

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
