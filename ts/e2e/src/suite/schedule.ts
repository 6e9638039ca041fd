import type { Count, Counter } from "./count.js";

/** One command of the test suite. */
export interface Step {
  readonly name: string;
  /** A shell command, run in the root of the checkout. */
  readonly run: string;
  /** Names of steps that must have succeeded before. */
  readonly after?: readonly string[];
  readonly count?: Counter;
  /** Its output is printed when it succeeds, too. */
  readonly show?: boolean;
  /** Not a check: left out unless it is asked for by name. */
  readonly onlyByName?: boolean;
  /** Runs while nothing else does, because it watches how long things take. */
  readonly alone?: boolean;
}

export interface Outcome {
  readonly step: Step;
  readonly count: Count;
  readonly seconds: number;
  /** Of the command and all that it started and waited for, user and system. */
  readonly processorSeconds: number;
  readonly output: string;
  /** Why it was not run. */
  readonly skipped?: string;
}

/** Runs one step to its end. */
export type Runner = (step: Step) => Promise<Outcome>;

/**
 * Runs steps, at most `lanes` at a time, each after those it names; a step is left out, and counts as failed, when one of
 * those failed. The order of the list decides among steps that could begin.
 */
export async function schedule(steps: readonly Step[], lanes: number, run: Runner): Promise<Outcome[]> {
  const waiting = [...steps];
  const running = new Map<string, Promise<void>>();
  const outcomes = new Map<string, Outcome>();
  let aloneRuns = false;

  const begin = (step: Step): void => {
    aloneRuns = step.alone === true;
    const ended = run(step).then((outcome) => {
      outcomes.set(step.name, outcome);
      running.delete(step.name);
      aloneRuns = false;
    });
    running.set(step.name, ended);
  };

  while (waiting.length > 0 || running.size > 0) {
    for (const step of [...waiting]) {
      const needs = step.after ?? [];
      const broken = needs.find((name) => (outcomes.get(name)?.count.failed ?? 0) > 0);
      if (broken !== undefined) {
        waiting.splice(waiting.indexOf(step), 1);
        outcomes.set(step.name, {
          step,
          count: { passed: 0, failed: 1 },
          seconds: 0,
          processorSeconds: 0,
          output: "",
          skipped: `${broken} failed`,
        });
        continue;
      }
      const ready = needs.every((name) => outcomes.has(name));
      const room = running.size < lanes && !aloneRuns && (step.alone !== true || running.size === 0);
      if (ready && room) {
        waiting.splice(waiting.indexOf(step), 1);
        begin(step);
      }
    }
    if (running.size > 0) await Promise.race(running.values());
    else if (waiting.length > 0 && !waiting.some((step) => isReady(step, outcomes) || isBroken(step, outcomes))) {
      throw new Error(`these steps wait for steps that do not exist: ${waiting.map((step) => step.name).join(", ")}`);
    }
  }
  return steps.flatMap((step) => outcomes.get(step.name) ?? []);
}

const isReady = (step: Step, outcomes: ReadonlyMap<string, Outcome>): boolean =>
  (step.after ?? []).every((name) => outcomes.has(name));

const isBroken = (step: Step, outcomes: ReadonlyMap<string, Outcome>): boolean =>
  (step.after ?? []).some((name) => (outcomes.get(name)?.count.failed ?? 0) > 0);
