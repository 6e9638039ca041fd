import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import type { Context } from "../context.js";
import { Failure } from "../failure.js";
import { exists } from "../files.js";
import { programs } from "../made/programs.js";
import { prettyLine } from "../pretty-log.js";

/** Lines of the past that are shown first. */
const PAST_LINES = 50;

/** Follows the log of one process, or of all of them, until interrupted. */
export async function logs(context: Context, name: string | undefined, follow: boolean): Promise<void> {
  const { mesh, signal } = context;
  const known = programs(mesh).map((program) => program.name);
  const wanted = name === undefined ? known : known.filter((process) => process === name);
  if (wanted.length === 0)
    throw new Failure({
      reason: "USAGE",
      message: `there is no process ${name}`,
      remedy: `one of: ${known.join(", ")}`,
    });
  const files = await Promise.all(
    wanted.map(async (process) => ({ process, file: `${mesh.paths.logs}/${process}.log` })),
  );
  const present = [];
  for (const entry of files) if (await exists(entry.file)) present.push(entry);
  if (present.length === 0)
    throw new Failure({
      reason: "NOT_RUNNING",
      message: `there is no log in ${mesh.paths.logs} yet`,
      remedy: "make up",
    });
  const width = Math.max(...present.map(({ process }) => process.length));
  await Promise.all(
    present.map(async ({ process: source, file }) => {
      // tail follows the name, so that a rotated log goes on.
      const tail = spawn("tail", ["-n", String(PAST_LINES), ...(follow ? ["-F"] : []), file], {
        stdio: ["ignore", "pipe", "ignore"],
        signal,
      });
      const label = present.length === 1 ? "" : `${source.padEnd(width)}  `;
      createInterface({ input: tail.stdout }).on("line", (line) => context.progress.say(label + prettyLine(line)));
      await once(tail, "close").catch((cause: unknown) => {
        if (!signal.aborted) throw cause;
      });
    }),
  );
}
