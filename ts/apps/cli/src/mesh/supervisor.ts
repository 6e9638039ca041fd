import { readFile } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { Failure } from "../failure.js";
import { exists } from "../files.js";
import type { Layout } from "../layout.js";
import { programs } from "../made/programs.js";
import { run } from "../process.js";
import { pythonPrograms } from "../tools/python.js";
import { endProcesses, isAlive, processesOf } from "./processes.js";
import { callSupervisor } from "./supervisor-rpc.js";

/** State of one process as supervisord sees it. */
export interface ProcessState {
  readonly name: string;
  /** STOPPED, STARTING, RUNNING, BACKOFF, STOPPING, EXITED, FATAL or UNKNOWN. */
  readonly state: string;
  readonly pid?: number;
}

/** Seconds that stopping everything may take: the longest drain, layer after layer. */
const STOP_SECONDS = 90;

/** The supervisor of one mesh. */
export class Supervisor {
  private readonly mesh: Layout;

  constructor(mesh: Layout) {
    this.mesh = mesh;
  }

  /** Path of its configuration. */
  get config(): string {
    return `${this.mesh.paths.run}/supervisord.conf`;
  }

  /** Id of supervisord, or undefined when it is not running. */
  async pid(): Promise<number | undefined> {
    const pid = Number(await readFile(`${this.mesh.paths.run}/supervisord.pid`, "utf8").catch(() => ""));
    if (pid === 0 || !(await isAlive(pid))) return undefined;
    const command = await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "");
    return command.includes(this.config) ? pid : undefined;
  }

  /** Starts supervisord, which starts every program in the order of priority. */
  async start(signal: AbortSignal): Promise<void> {
    await run(pythonPrograms(this.mesh.paths.install).supervisord, ["-c", this.config], {
      cwd: this.mesh.paths.root,
      signal,
      reason: "UNHEALTHY",
      remedy: `see ${this.mesh.paths.logs}/supervisord.log`,
    });
    const deadline = performance.now() + 10_000;
    while (!(await exists(`${this.mesh.paths.run}/supervisor.sock`))) {
      if (performance.now() > deadline)
        throw new Failure({
          reason: "UNHEALTHY",
          message: "supervisord did not open its socket within 10 s",
          remedy: `see ${this.mesh.paths.logs}/supervisord.log`,
        });
      await delay(50);
    }
  }

  /** Takes the configuration over: new programs start, removed ones stop, changed ones restart. Returns what it did, a line each. */
  async update(signal: AbortSignal): Promise<string[]> {
    const { supervisorctl, python } = pythonPrograms(this.mesh.paths.install);
    const output = await run(python, [supervisorctl, "-c", this.config, "update"], {
      cwd: this.mesh.paths.root,
      signal,
      reason: "NOT_RUNNING",
      remedy: "make up",
    });
    return output.split("\n").filter((line) => line !== "");
  }

  /** State of every process. */
  async states(signal: AbortSignal): Promise<ProcessState[]> {
    const processes = await this.call("getAllProcessInfo", [], signal);
    return processes.map((info) => {
      const pid = Number(info.get("pid") ?? 0);
      return { name: info.get("name") ?? "", state: info.get("statename") ?? "UNKNOWN", ...(pid === 0 ? {} : { pid }) };
    });
  }

  /** Stops one process and waits until it has ended. */
  async stopProcess(name: string, signal: AbortSignal): Promise<void> {
    await this.call("stopProcess", [name], signal);
  }

  /** Starts one process and waits until it has run for a second. */
  async startProcess(name: string, signal: AbortSignal): Promise<void> {
    await this.call("startProcess", [name], signal);
  }

  /**
   * Stops every process, callers first, then supervisord, and sees by process id that none is left: not even one whose
   * supervisord was killed.
   *
   * @returns how many processes were ended
   * @throws Failure `PROCESS_LEFT`
   */
  async stop(): Promise<number> {
    const before = await processesOf(this.mesh.paths.home);
    const supervisord = await this.pid();
    if (supervisord !== undefined) await this.stopByLayer();
    const stubborn = supervisord === undefined ? [] : await endProcesses([supervisord], STOP_SECONDS * 1000);
    const orphans = await endProcesses(await processesOf(this.mesh.paths.home), 20_000);
    const left = [...stubborn, ...orphans];
    if (left.length > 0)
      throw new Failure({
        reason: "PROCESS_LEFT",
        message: `could not end: pid ${left.join(", ")}`,
        remedy: `look at them with ps -p ${left.join(",")}; a process in state D waits for a disk`,
      });
    return before.length + (supervisord === undefined ? 0 : 1);
  }

  /** All of a layer at once, then the next: supervisord by itself takes one process after another. */
  private async stopByLayer(): Promise<void> {
    const all = programs(this.mesh);
    for (const layer of [...new Set(all.map(({ priority }) => priority))].sort((a, b) => b - a)) {
      const members = all.filter(({ priority }) => priority === layer);
      // What cannot be stopped by name (a program that the running configuration lacks) goes with supervisord itself.
      await Promise.allSettled(
        members.map(({ name }) => this.stopProcess(name, AbortSignal.timeout(STOP_SECONDS * 1000))),
      );
    }
  }

  private async call(method: string, params: readonly string[], signal: AbortSignal) {
    try {
      return await callSupervisor(`${this.mesh.paths.run}/supervisor.sock`, `supervisor.${method}`, params, signal);
    } catch (cause) {
      signal.throwIfAborted();
      throw new Failure({
        reason: "NOT_RUNNING",
        message: `supervisord, asked for ${method} ${params.join(" ")}: ${cause instanceof Error ? cause.message : cause}`,
        remedy: "make up",
        cause,
      });
    }
  }
}
