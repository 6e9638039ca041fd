import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";

/** Where a service of ours listens, as its "serving" log line says. */
export interface Serving {
  /** host:port of gRPC. */
  readonly grpc: string;
  /** host:port of HTTP. */
  readonly http: string;
}

export interface ProcessOptions {
  /** Shown in errors. */
  readonly name: string;
  readonly command: readonly [string, ...string[]];
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** Whether it is told things while it runs, by `write`; otherwise it has no standard input. */
  readonly told?: boolean;
}

/** How a process ended: its exit code, or the signal that ended it. */
export type Exit = number | NodeJS.Signals;

const KEPT_LINES = 200;

/** Children that run: none may outlive this process, however it ends. */
const children = new Set<ChildProcess>();
process.once("exit", () => {
  for (const child of children) child.kill("SIGKILL");
});

/** One child process, its last lines of output, and its end. Stopped by its own process id only. */
export class Process {
  readonly name: string;
  /** Resolves when the process has ended. */
  readonly exited: Promise<Exit>;
  /** Resolves when it has ended and all that it printed was read. */
  readonly closed: Promise<Exit>;
  readonly #child: ChildProcess;
  readonly #lines: string[] = [];
  readonly #watchers = new Set<(line: string) => void>();
  #exit: Exit | undefined;

  constructor(options: ProcessOptions) {
    const [program, ...args] = options.command;
    this.name = options.name;
    this.#child = spawn(program, args, {
      stdio: [options.told === true ? "pipe" : "ignore", "pipe", "pipe"],
      env: { ...process.env, ...options.env },
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    });
    children.add(this.#child);
    this.exited = new Promise((resolve) => {
      const end = (exit: Exit): void => {
        children.delete(this.#child);
        this.#exit = exit;
        resolve(exit);
      };
      this.#child.once("exit", (code, signal) => end(code ?? signal ?? -1));
      this.#child.once("error", (error) => {
        this.#lines.push(String(error));
        end(-1);
      });
    });
    this.closed = new Promise((resolve) => this.#child.once("close", () => void this.exited.then(resolve)));
    // That it has ended is told by `exited`.
    this.#child.stdin?.on("error", () => undefined);
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      if (stream === null) continue;
      createInterface({ input: stream }).on("line", (line) => {
        this.#lines.push(line);
        if (this.#lines.length > KEPT_LINES) this.#lines.shift();
        for (const watch of this.#watchers) watch(line);
      });
    }
  }

  get pid(): number {
    if (this.#child.pid === undefined) throw new Error(`${this.name} did not start: ${this.tail()}`);
    return this.#child.pid;
  }

  get running(): boolean {
    return this.#exit === undefined;
  }

  /** The last lines that it printed. */
  tail(lines = 20): string {
    return this.#lines.slice(-lines).join("\n");
  }

  /** Calls `watch` with each line from now on, until what it returns is called. */
  onLine(watch: (line: string) => void): () => void {
    this.#watchers.add(watch);
    return () => void this.#watchers.delete(watch);
  }

  /** Resolves with the first line, past or future, for which `pick` returns something; rejects when the process ends or time runs out. */
  line<T>(pick: (line: string) => T | undefined, timeoutMs: number): Promise<T> {
    for (const line of this.#lines) {
      const picked = pick(line);
      if (picked !== undefined) return Promise.resolve(picked);
    }
    return new Promise((resolve, reject) => {
      const settle = (act: () => void): void => {
        clearTimeout(timer);
        this.#watchers.delete(watch);
        act();
      };
      const watch = (line: string): void => {
        const picked = pick(line);
        if (picked !== undefined) settle(() => resolve(picked));
      };
      const timer = setTimeout(
        () =>
          settle(() =>
            reject(new Error(`${this.name}: no such line within ${timeoutMs} ms; it printed:\n${this.tail()}`)),
          ),
        timeoutMs,
      );
      this.#watchers.add(watch);
      void this.exited.then((exit) =>
        settle(() => reject(new Error(`${this.name} ended with ${exit}:\n${this.tail()}`))),
      );
    });
  }

  /** Resolves when a service of ours says that it serves. */
  serving(timeoutMs = 20_000): Promise<Serving> {
    return this.line((line) => {
      if (!line.startsWith("{") || !line.includes('"serving"')) return undefined;
      const entry = JSON.parse(line) as { msg?: string; grpc?: string; http?: string };
      return entry.msg === "serving" && entry.grpc !== undefined && entry.http !== undefined
        ? { grpc: entry.grpc, http: entry.http }
        : undefined;
    }, timeoutMs);
  }

  /** Writes a line to its standard input. */
  write(line: string): void {
    this.#child.stdin?.write(`${line}\n`);
  }

  signal(signal: NodeJS.Signals): void {
    if (this.running) this.#child.kill(signal);
  }

  /** Asks it to end, and ends it when it does not within `graceMs`. */
  stop(graceMs = 15_000): Promise<Exit> {
    this.signal("SIGTERM");
    return this.#ended(graceMs);
  }

  /** Ends its standard input, and it when it does not end by that within `graceMs`. */
  endInput(graceMs = 15_000): Promise<Exit> {
    this.#child.stdin?.end();
    return this.#ended(graceMs);
  }

  async #ended(graceMs: number): Promise<Exit> {
    const timer = setTimeout(() => this.signal("SIGKILL"), graceMs);
    try {
      return await this.exited;
    } finally {
      clearTimeout(timer);
    }
  }
}
