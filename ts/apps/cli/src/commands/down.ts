import { rm } from "node:fs/promises";
import type { Context } from "../context.js";
import { Supervisor } from "../mesh/supervisor.js";

/** Stops every process of the mesh, callers first, and says how many there were. */
export async function down({ mesh, progress }: Context): Promise<void> {
  const supervisor = new Supervisor(mesh);
  const ended = await progress.step("stop", () => supervisor.stop());
  await rm(`${mesh.paths.run}/supervisor.sock`, { force: true });
  progress.say(
    ended === 0
      ? "Nothing was running."
      : `The mesh is down: ${ended} ${ended === 1 ? "process" : "processes"} ended, none is left.`,
  );
}
