import { mkdir, rm } from "node:fs/promises";
import { afterEach, beforeEach, expect, it } from "vitest";
import { type Context, openContext } from "../context.js";
import type { Failure } from "../failure.js";
import { writeWhole } from "../files.js";
import { natsConfig } from "../made/infrastructure.js";
import { MARK, supervisorConfig } from "../made/supervisor.js";
import { processesOf } from "../mesh/processes.js";
import { Supervisor } from "../mesh/supervisor.js";
import { ground } from "../test/mesh.js";
import { installGoTool } from "../tools/go-tools.js";
import { down } from "./down.js";
import { start } from "./up.js";

let context: Context;
const said: string[] = [];

beforeEach(async () => {
  const opened = await openContext(new AbortController().signal, await ground());
  const progress: Context["progress"] = {
    say: (text) => void said.push(text),
    step: (_, work) => work((text) => void said.push(text)),
  };
  // NATS and Jaeger alone: real processes that start in a moment.
  const infrastructure = opened.catalogue.infrastructure.filter(({ name }) => name === "nats" || name === "jaeger");
  context = {
    ...opened,
    progress,
    catalogue: { ...opened.catalogue, infrastructure },
    mesh: { ...opened.mesh, replicas: [] },
  };
  await installGoTool(context, "jaeger");
  const { run, logs, data } = context.mesh.paths;
  for (const folder of [run, logs, data]) await mkdir(folder, { recursive: true });
  await writeWhole(`${run}/nats.conf`, natsConfig({ mesh: context.mesh, data: `${data}/nats` }));
});

afterEach(async () => {
  await new Supervisor(context.mesh).stop();
  await rm(context.mesh.paths.home, { recursive: true });
});

async function writeSupervisorConfig(): Promise<void> {
  const sections = supervisorConfig(context.mesh).split(/^(?=\[program:)/m);
  const kept = sections.filter((section) => !/^\[program:(envoy|weaviate)\]/.test(section));
  await writeWhole(new Supervisor(context.mesh).config, kept.join(""));
}

it("start_processThatNeverServes_isNamedWithItsLogAndAllIsStopped", async () => {
  await writeWhole(`${context.mesh.paths.run}/jaeger.yaml`, "extensions: {nonsense: {}}\n");
  await writeSupervisorConfig();
  const supervisor = new Supervisor(context.mesh);
  const impatient = context.catalogue.infrastructure.map((part) => ({
    ...part,
    health: { ...part.health, start_seconds: 3 },
  }));
  const hurried = { ...context, catalogue: { ...context.catalogue, infrastructure: impatient } };
  const failure: Failure = await start(hurried, supervisor, false).then(
    () => Promise.reject(new Error("it started")),
    (cause) => cause,
  );
  expect(failure.reason).toBe("UNHEALTHY");
  expect(failure.message).toMatch(
    /^jaeger: (gave up starting|does not listen yet after 3 s); the end of .+jaeger\.log:\n(.|\n)*nonsense/,
  );
  expect(await processesOf(context.mesh.paths.home)).toEqual([]);
  expect(await supervisor.pid()).toBeUndefined();
});

it("down_supervisorKilled_endsItsOrphansById", async () => {
  const [head = ""] = supervisorConfig(context.mesh).split(/^(?=\[program:)/m);
  // It writes nothing, so it outlives the pipe to its supervisor.
  const silent = `[program:silent]\ncommand=sleep 600\nenvironment=${MARK}="${context.mesh.paths.home}"\n`;
  const supervisor = new Supervisor(context.mesh);
  await writeWhole(supervisor.config, head + silent);
  await supervisor.start(context.signal);
  await expect.poll(() => processesOf(context.mesh.paths.home), { timeout: 30_000 }).toHaveLength(1);
  process.kill((await supervisor.pid()) ?? 0, "SIGKILL");
  await expect.poll(() => supervisor.pid(), { timeout: 30_000 }).toBeUndefined();
  await down(context);
  expect(await processesOf(context.mesh.paths.home)).toEqual([]);
  expect(said.at(-1)).toBe("The mesh is down: 1 process ended, none is left.");
});

it("supervisor_processByName_isStoppedAndStartedAndAnotherIsRefused", async () => {
  const [head = ""] = supervisorConfig(context.mesh).split(/^(?=\[program:)/m);
  const quiet = `[program:quiet]\ncommand=sleep 600\nstartsecs=0\nenvironment=${MARK}="${context.mesh.paths.home}"\n`;
  const supervisor = new Supervisor(context.mesh);
  await writeWhole(supervisor.config, head + quiet);
  await supervisor.start(context.signal);
  const state = async () => (await supervisor.states(context.signal)).find(({ name }) => name === "quiet");
  await expect.poll(state, { timeout: 30_000 }).toEqual({ name: "quiet", state: "RUNNING", pid: expect.any(Number) });
  await supervisor.stopProcess("quiet", context.signal);
  expect(await state()).toEqual({ name: "quiet", state: "STOPPED" });
  await supervisor.startProcess("quiet", context.signal);
  expect(await state()).toMatchObject({ state: "RUNNING" });
  await expect(supervisor.stopProcess("loud", context.signal)).rejects.toThrow("BAD_NAME: loud");
});
