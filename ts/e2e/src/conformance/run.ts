import { Process } from "../harness/process.js";
import { inRepository } from "../harness/repository.js";
import type { Client } from "./languages.js";

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
  /** Catalogue name of the server. */
  readonly service: string;
  /** host:port to call: the server's or Envoy's. */
  readonly target: string;
  /** host:port of the server itself. */
  readonly server: string;
  readonly pid: number;
  readonly tls?: Tls;
  readonly timeoutMs: number;
}

/** Runs all cases with one client against one server and returns a result for each case. */
export async function runClient(options: RunOptions): Promise<CaseResult[]> {
  const { client, tls } = options;
  const results: CaseResult[] = [];
  const { command, cwd } = client.start();
  const child = new Process({
    name: `conformance client ${client.name}`,
    cwd,
    command: [
      ...command,
      ...["--cases", inRepository("proto", "uait", "echo", "v1", "cases.yaml")],
      ...["--target", options.target, "--server", options.server],
      ...["--pid", String(options.pid), "--service", options.service],
      ...(tls === undefined ? [] : ["--tls-cert", tls.cert, "--tls-key", tls.key, "--tls-ca", tls.ca]),
    ],
    env: { OTEL_SDK_DISABLED: "true" },
  });
  child.onLine((line) => {
    if (line.startsWith('{"case"')) results.push(JSON.parse(line) as CaseResult);
  });
  const timer = setTimeout(() => child.signal("SIGKILL"), options.timeoutMs);
  const exit = await child.closed;
  clearTimeout(timer);
  if (exit !== 0) {
    results.push({ case: "the client ran to its end", ok: false, ms: 0, error: `exit ${exit}\n${child.tail()}` });
  }
  return results;
}
