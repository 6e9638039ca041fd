import type { Context } from "../context.js";
import { Failure } from "../failure.js";
import { healthChecks, SERVING } from "../mesh/health.js";
import { claims } from "../mesh/ports.js";
import { factsOf } from "../mesh/processes.js";
import { Supervisor } from "../mesh/supervisor.js";

/**
 * Prints a table of the mesh's processes.
 *
 * @throws Failure `NOT_RUNNING`, or `UNHEALTHY` when one of them does not serve
 */
export async function status(context: Context): Promise<void> {
  const { mesh, catalogue, signal } = context;
  const supervisor = new Supervisor(mesh);
  if ((await supervisor.pid()) === undefined)
    throw new Failure({
      reason: "NOT_RUNNING",
      message: `no mesh is running in ${mesh.paths.home}`,
      remedy: "make up",
    });
  const states = new Map((await supervisor.states(signal)).map((state) => [state.name, state]));
  const ports = claims(catalogue, mesh);
  const rows = await Promise.all(
    healthChecks(catalogue, mesh).map(async (check) => {
      const state = states.get(check.process);
      const facts = state?.pid === undefined ? undefined : await factsOf(state.pid);
      return {
        process: check.process,
        state: state?.state ?? "UNKNOWN",
        health: await check.ask(signal),
        pid: String(state?.pid ?? "-"),
        rss: facts === undefined ? "-" : `${facts.residentMiB.toFixed(0)} MiB`,
        up: facts === undefined ? "-" : duration(facts.upSeconds),
        ports: ports
          .filter(({ owner }) => owner.startsWith(`${check.process} (`))
          .map(({ port, owner }) => `${port} ${owner.slice(check.process.length + 2, -1)}`)
          .join(", "),
      };
    }),
  );
  context.progress.say(tableOf(rows));
  const sick = rows.filter(({ health }) => health !== SERVING);
  if (sick.length > 0)
    throw new Failure({
      reason: "UNHEALTHY",
      message: sick.map(({ process, health }) => `${process}: ${health}`).join("\n"),
      remedy: `make logs S=${sick[0]?.process}`,
    });
}

function duration(seconds: number): string {
  const whole = Math.floor(seconds);
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor((whole % 3600) / 60)];
  return hours > 0 ? `${hours} h ${minutes} min` : minutes > 0 ? `${minutes} min ${whole % 60} s` : `${whole} s`;
}

function tableOf(rows: readonly Readonly<Record<string, string>>[]): string {
  const columns = Object.keys(rows[0] ?? {});
  const widths = columns.map((column) => Math.max(column.length, ...rows.map((row) => row[column]?.length ?? 0)));
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, i) => cell.padEnd(widths[i] ?? 0))
      .join("  ")
      .trimEnd();
  return [line(columns), ...rows.map((row) => line(columns.map((column) => row[column] ?? "")))].join("\n");
}
