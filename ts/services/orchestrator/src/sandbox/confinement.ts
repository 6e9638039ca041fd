import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import { Worker } from "node:worker_threads";
import { ExpressionError } from "../verifiers/expression-error.js";
import { type ConfinedCheck, type Opinion, opinion } from "../verifiers/verifier.js";
import type { Report, Task } from "./protocol.js";
import type { PythonModule } from "./python.js";
import { loadPython } from "./python-module.js";

/** Time of one regular expression or schema, ms: linear work, but linear in a long text and a long expression too. */
export const EXPRESSION_LIMIT_MS = 2000;
/** Time in which a worker must begin: loading an interpreter on a busy machine. */
const START_LIMIT_MS = 30_000;
/** An idle worker is ended after this long, ms, since each holds some 20 MiB. */
const IDLE_MS = 30_000;
const WORKER_HEAP_MIB = 256;
const WORKER_STACK_MIB = 4;

export interface ConfinementOptions {
  /** Expressions that run at once. */
  readonly workers: number;
}

/**
 * Runs what callers wrote (regular expressions, schemas, programs) in threads that are ended when their time is over.
 * Programs are WebAssembly: they reach nothing but their input, their output and a clock, and their memory has a maximum.
 */
export class Confinement {
  readonly #limit: number;
  readonly #idle: WarmWorker[] = [];
  readonly #waiting: (() => void)[] = [];
  #busy = 0;

  constructor({ workers }: ConfinementOptions) {
    this.#limit = workers;
  }

  /** Makes sure that an expression is well-formed. @throws ExpressionError */
  async prepare(check: ConfinedCheck, signal: AbortSignal): Promise<void> {
    const done = await this.#run({ kind: "prepare", check }, EXPRESSION_LIMIT_MS, signal);
    if (done === "timeout")
      throw new ExpressionError(check.kind, `reading it takes more than ${EXPRESSION_LIMIT_MS} ms`);
  }

  /** Checks a text. @throws ExpressionError */
  async check(check: ConfinedCheck, text: string, signal: AbortSignal): Promise<Opinion> {
    const limitMs = check.kind === "program" ? check.timeoutMs : EXPRESSION_LIMIT_MS;
    const done = await this.#run({ kind: "check", check, text }, limitMs, signal);
    if (done === "timeout") return opinion(0, `it was stopped after ${limitMs} ms`);
    if (done.kind !== "opinion") throw new Error(`a check was answered by ${done.kind}`);
    return done.opinion;
  }

  /** The answer in each text, by an RE2 expression. @throws ExpressionError */
  async extract(
    pattern: string,
    texts: readonly string[],
    signal: AbortSignal,
  ): Promise<readonly (string | undefined)[]> {
    const done = await this.#run({ kind: "extract", pattern, texts }, EXPRESSION_LIMIT_MS, signal);
    if (done === "timeout") return texts.map(() => undefined);
    if (done.kind !== "extracted") throw new Error(`an extraction was answered by ${done.kind}`);
    return done.answers;
  }

  /** Ends every idle worker; those at work end with their task. */
  async close(): Promise<void> {
    await Promise.all(this.#idle.splice(0).map((worker) => worker.end()));
  }

  async #run(task: Task, limitMs: number, signal: AbortSignal): Promise<Report | "timeout"> {
    const python = await interpreterFor(task);
    await this.#enter();
    let worker: WarmWorker | undefined;
    try {
      signal.throwIfAborted();
      worker = this.#idle.pop() ?? new WarmWorker();
      const done = await worker.perform(task, python, limitMs, signal);
      if (done !== "timeout") this.#keep(worker);
      if (done !== "timeout" && done.kind === "invalid") {
        throw new ExpressionError(done.expression, done.message, done.position);
      }
      if (done !== "timeout" && done.kind === "failed") throw new Error(`a worker failed: ${done.message}`);
      return done;
    } finally {
      this.#leave();
    }
  }

  #keep(worker: WarmWorker): void {
    this.#idle.push(worker);
    worker.endWhenIdle(IDLE_MS, () => {
      const at = this.#idle.indexOf(worker);
      if (at >= 0) this.#idle.splice(at, 1);
    });
  }

  async #enter(): Promise<void> {
    if (this.#busy < this.#limit) {
      this.#busy++;
      return;
    }
    await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  // The place goes to the next that waits, so that none who comes later takes it.
  #leave(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#busy--;
    else next();
  }
}

async function interpreterFor(task: Task): Promise<PythonModule | undefined> {
  if (task.kind === "extract" || task.check.kind !== "program" || task.check.language !== "python") return undefined;
  return await loadPython();
}

/** One thread; ended for good once a task of its ran out of time. */
class WarmWorker {
  readonly #worker = startWorker();
  #idleTimer: NodeJS.Timeout | undefined;

  constructor() {
    // A process need not wait for a thread that has nothing to do.
    this.#worker.unref();
    // One that fails between two tasks is noticed by the next.
    this.#worker.on("error", () => undefined);
  }

  /** @throws the signal's reason; Error when the thread ended by itself, as for want of memory. */
  async perform(
    task: Task,
    python: PythonModule | undefined,
    limitMs: number,
    signal: AbortSignal,
  ): Promise<Report | "timeout"> {
    clearTimeout(this.#idleTimer);
    const worker = this.#worker;
    let timer: NodeJS.Timeout | undefined;
    const release: (() => void)[] = [() => clearTimeout(timer)];
    try {
      return await new Promise<Report | "timeout">((resolve, reject) => {
        const stop = (after: () => void) => {
          void worker.terminate();
          after();
        };
        const limit = (ms: number) => {
          clearTimeout(timer);
          timer = setTimeout(() => stop(() => resolve("timeout")), ms);
        };
        const onMessage = (said: Report) => {
          if (said.kind === "began") limit(limitMs);
          else resolve(said);
        };
        const onEnd = (cause: unknown) => reject(new Error("a worker ended by itself", { cause }));
        const onAbort = () => stop(() => reject(signal.reason));
        worker.on("message", onMessage).once("error", onEnd).once("exit", onEnd);
        signal.addEventListener("abort", onAbort, { once: true });
        release.push(() => {
          worker.off("message", onMessage).off("error", onEnd).off("exit", onEnd);
          signal.removeEventListener("abort", onAbort);
        });
        limit(START_LIMIT_MS);
        worker.postMessage({ task, python });
      });
    } finally {
      for (const each of release) each();
    }
  }

  endWhenIdle(ms: number, ended: () => void): void {
    this.#idleTimer = setTimeout(() => {
      ended();
      void this.end();
    }, ms);
    this.#idleTimer.unref();
  }

  async end(): Promise<void> {
    clearTimeout(this.#idleTimer);
    await this.#worker.terminate();
  }
}

function startWorker(): Worker {
  const options = {
    env: {},
    resourceLimits: { maxOldGenerationSizeMb: WORKER_HEAP_MIB, stackSizeMb: WORKER_STACK_MIB },
  };
  if (!import.meta.url.endsWith(".ts")) return new Worker(new URL("./worker.js", import.meta.url), options);
  // From source the thread's program is TypeScript, whose loader a thread does not inherit.
  const tsx = pathToFileURL(createRequire(import.meta.url).resolve("tsx/package.json"));
  const loader = new URL("dist/esm/api/index.mjs", tsx).href;
  const program = new URL("./worker.ts", import.meta.url).href;
  const start = `import(${JSON.stringify(loader)}).then(({ register }) => (register(), import(${JSON.stringify(program)})))`;
  return new Worker(start, { ...options, eval: true });
}
