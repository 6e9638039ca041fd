import { type Exit, Process } from "../harness/process.js";
import type { Client, Program } from "./languages.js";

/** What a conformance client said of one case. */
export interface CaseResult {
  readonly case: string;
  readonly ok: boolean;
  /** Wall time of the case, in milliseconds. */
  readonly ms: number;
  readonly error?: string;
}

export interface Tls {
  readonly cert: string;
  readonly key: string;
  readonly ca: string;
}

export interface RunOptions {
  readonly client: Client;
  /** The file of cases. */
  readonly cases: string;
  /** Catalogue name of the server. */
  readonly service: string;
  /** host:port to call: the server's or Envoy's. */
  readonly target: string;
  /** host:port of the server itself. */
  readonly server: string;
  readonly pid: number;
  readonly tls?: Tls;
  readonly timeoutMs: number;
  /** Hears how many cases have ended, each time one has. */
  readonly onResult: (ended: number) => void;
}

const ENV = { OTEL_SDK_DISABLED: "true" };

/** The processes of the clients: of a program that takes `--each-line` as many as ever ran at once, of others one a run. */
export class Clients {
  readonly #idle = new Map<Program, Process[]>();

  /** Runs the cases with one client against one server and returns a result for each case. */
  async run({ client, tls, timeoutMs, onResult, ...options }: RunOptions): Promise<CaseResult[]> {
    const args = [
      ...client.arguments,
      ...["--cases", options.cases, "--target", options.target, "--server", options.server],
      ...["--pid", String(options.pid), "--service", options.service],
      ...(tls === undefined ? [] : ["--tls-cert", tls.cert, "--tls-key", tls.key, "--tls-ca", tls.ca]),
    ];
    const { program } = client;
    const child = program.eachLine ? (this.#idle.get(program)?.pop() ?? begin(program)) : begin(program, args);
    const results: CaseResult[] = [];
    const timer = setTimeout(() => child.signal("SIGKILL"), timeoutMs);
    const exit = await new Promise<Exit>((resolve) => {
      const forget = child.onLine((line) => {
        if (line.startsWith('{"case"')) onResult(results.push(JSON.parse(line) as CaseResult));
        if (!program.eachLine || !line.startsWith('{"exit"')) return;
        forget();
        resolve((JSON.parse(line) as { exit: number }).exit);
      });
      void child.closed.then(resolve);
      if (program.eachLine) child.write(JSON.stringify(args));
    });
    clearTimeout(timer);
    if (exit !== 0 || (program.eachLine && !child.running)) {
      results.push({ case: "the client ran to its end", ok: false, ms: 0, error: `exit ${exit}\n${child.tail()}` });
    }
    if (program.eachLine && child.running) this.#idle.set(program, [...(this.#idle.get(program) ?? []), child]);
    return results;
  }

  /** Ends the processes that wait for a run. @throws Error when one does not exit with 0 */
  async close(): Promise<void> {
    for (const child of [...this.#idle.values()].flat()) {
      const exit = await child.endInput();
      if (exit !== 0) throw new Error(`${child.name}: exit ${exit} at the end of its input\n${child.tail()}`);
    }
  }
}

function begin(program: Program, args?: readonly string[]): Process {
  const { command, cwd } = program.start();
  const name = `conformance client ${command.at(-1) ?? ""}`;
  return new Process({
    name,
    cwd,
    command: [...command, ...(args ?? ["--each-line"])],
    env: ENV,
    told: args === undefined,
  });
}
