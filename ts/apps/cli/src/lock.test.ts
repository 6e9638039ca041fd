import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { exists } from "./files.js";
import { withLock } from "./lock.js";

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "uait-lock-"));
});

afterEach(() => rm(folder, { recursive: true }));

it("withLock_secondWorker_waitsForTheFirst", async () => {
  const file = join(folder, "lock");
  const order: string[] = [];
  const options = { signal: AbortSignal.timeout(10_000), note: () => void order.push("waits") };
  let finish: () => void = () => undefined;
  const finished = new Promise<void>((settle) => (finish = settle));
  const first = withLock(file, options, async () => {
    await finished;
    order.push("first");
  });
  await expect.poll(() => exists(file)).toBe(true);
  const second = withLock(file, options, async () => void order.push("second"));
  await expect.poll(() => order).toContain("waits");
  finish();
  await Promise.all([first, second]);
  expect(order.filter((entry) => entry !== "waits")).toEqual(["first", "second"]);
  expect(await exists(file)).toBe(false);
});

it("withLock_holderGone_isTakenOver", async () => {
  const file = join(folder, "lock");
  const child = spawn("true");
  await once(child, "exit");
  await writeFile(file, String(child.pid));
  expect(await withLock(file, { signal: AbortSignal.timeout(10_000), note: () => undefined }, async () => "done")).toBe(
    "done",
  );
});

it("withLock_workFails_freesTheLock", async () => {
  const file = join(folder, "lock");
  const failing = withLock(file, { signal: AbortSignal.timeout(10_000), note: () => undefined }, () =>
    Promise.reject(new Error("broken")),
  );
  await expect(failing).rejects.toThrow("broken");
  expect(await exists(file)).toBe(false);
});
