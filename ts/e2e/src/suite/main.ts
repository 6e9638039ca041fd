/**
 * `make test`: every check of the project, in the order that brings results soonest, with a table of where the time went.
 *
 * Usage: main.ts [--only NAME]... ; the last line is "N passed, N failed", and the exit code is 0 when none failed.
 */
import { spawn } from "node:child_process";
import type { Readable } from "node:stream";
import { parseArgs } from "node:util";
import { repository } from "../harness/repository.js";
import { one, processorSeconds, settle } from "./count.js";
import { type Outcome, type Step, schedule } from "./schedule.js";
import { steps } from "./steps.js";

/** One more than CI has processors: each step waits for some of its time. */
const LANES = 3;
const SHOWN_OF_A_FAILURE = 20_000;
/** Every runner ends with what failed, and with why. */
const LINES_AT_THE_END = 40;

const { values } = parseArgs({ options: { only: { type: "string", multiple: true } } });

function run(step: Step): Promise<Outcome> {
  console.log(`begin  ${step.name}`);
  const started = Date.now();
  return new Promise((resolve) => {
    const child = spawn("bash", ["-o", "pipefail", "-c", `{ ${step.run}\n} 3>&-; code=$?; times >&3; exit $code`], {
      cwd: repository,
      stdio: ["ignore", "pipe", "pipe", "pipe"],
    });
    const chunks: string[] = [];
    let times = "";
    const [, out, err, used] = child.stdio as (Readable | null)[];
    for (const stream of [out, err]) {
      stream?.setEncoding("utf8").on("data", (chunk: string) => chunks.push(chunk));
    }
    used?.setEncoding("utf8").on("data", (chunk: string) => {
      times += chunk;
    });
    child.once("close", (code) => {
      const output = chunks.join("");
      const count = settle((step.count ?? one)(output), code ?? 1);
      const seconds = (Date.now() - started) / 1000;
      console.log(
        `${count.failed > 0 ? "FAILED" : "done  "} ${step.name}: ${count.passed} passed, ${count.failed} failed, ${seconds.toFixed(0)} s`,
      );
      if (count.failed > 0) console.log(output.slice(-SHOWN_OF_A_FAILURE));
      else if (step.show === true) console.log(output);
      resolve({ step, count, seconds, processorSeconds: processorSeconds(times), output });
    });
  });
}

const { only } = values;
const chosen =
  only === undefined
    ? steps.filter(({ onlyByName }) => onlyByName !== true)
    : steps.filter(({ name }) => only.includes(name)).map(({ after: _, ...step }) => step);
const outcomes = await schedule(chosen, LANES, run);

for (const { step, output } of outcomes.filter(({ count, skipped }) => count.failed > 0 && skipped === undefined)) {
  const lines = output.trimEnd().split("\n");
  console.log(`\nhow ${step.name} ended:\n${lines.slice(-LINES_AT_THE_END).join("\n")}`);
}

console.log("\nwhere the time went, longest first (elapsed, and of a processor; not what ran as a daemon):");
for (const { step, seconds, processorSeconds: processor, count, skipped } of [...outcomes].sort(
  (a, b) => b.seconds - a.seconds,
)) {
  const note = skipped === undefined ? "" : `  not run: ${skipped}`;
  console.log(
    `${seconds.toFixed(0).padStart(6)} s ${processor.toFixed(0).padStart(5)} s  ${step.name.padEnd(28)} ${count.passed} passed, ${count.failed} failed${note}`,
  );
}
const passed = outcomes.reduce((total, { count }) => total + count.passed, 0);
const failed = outcomes.reduce((total, { count }) => total + count.failed, 0);
console.log(`\n${passed} passed, ${failed} failed`);
process.exitCode = failed > 0 || passed === 0 ? 1 : 0;
