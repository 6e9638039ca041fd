import { appendFile, mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { type Context, openContext } from "../context.js";
import { logs } from "./logs.js";
import { status } from "./status.js";

let home: string;
let lines: string[];

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), "uait-logs-"));
  await mkdir(join(home, "logs"));
  lines = [];
});

afterEach(() => rm(home, { recursive: true }));

async function contextFor(signal: AbortSignal): Promise<Context> {
  const context = await openContext(signal, { UAIT_HOME: home });
  return { ...context, progress: { ...context.progress, say: (line) => void lines.push(line) } };
}

const entry = (msg: string): string => `{"time":"2026-11-24T08:30:36.127Z","level":"info","msg":"${msg}"}\n`;

it("logs_oneProcess_printsItsLinesForAPerson", async () => {
  await appendFile(join(home, "logs/echo-go.log"), entry("serving"));
  await logs(await contextFor(AbortSignal.timeout(10_000)), "echo-go", false);
  expect(lines).toEqual(["08:30:36.127 INFO  serving"]);
});

it("logs_allProcesses_areToldApart", async () => {
  await appendFile(join(home, "logs/echo-go.log"), entry("one"));
  await appendFile(join(home, "logs/echo-ts.log"), entry("two"));
  await logs(await contextFor(AbortSignal.timeout(10_000)), undefined, false);
  expect(lines.sort()).toEqual(["echo-go  08:30:36.127 INFO  one", "echo-ts  08:30:36.127 INFO  two"]);
});

it("logs_follow_showsWhatComesUntilInterrupted", async () => {
  const file = join(home, "logs/echo-go.log");
  await appendFile(file, entry("before"));
  const interrupted = new AbortController();
  const following = logs(await contextFor(interrupted.signal), "echo-go", true);
  await expect.poll(() => lines, { timeout: 10_000 }).toHaveLength(1);
  await appendFile(file, entry("after"));
  await expect
    .poll(() => lines, { timeout: 10_000 })
    .toEqual(["08:30:36.127 INFO  before", "08:30:36.127 INFO  after"]);
  interrupted.abort();
  await following;
});

it("logs_unknownProcess_namesThoseThereAre", async () => {
  const asked = logs(await contextFor(AbortSignal.timeout(10_000)), "echo-java", false);
  await expect(asked).rejects.toMatchObject({ reason: "USAGE", remedy: expect.stringContaining("echo-go") });
});

it("status_noMesh_saysSo", async () => {
  const asked = status(await contextFor(AbortSignal.timeout(10_000)));
  await expect(asked).rejects.toMatchObject({ reason: "NOT_RUNNING", message: `no mesh is running in ${home}` });
});
