import { inRepository, program } from "../harness/repository.js";

export type Command = readonly [string, ...string[]];

/** How to start a program: its command and the folder to start it in. */
export interface Start {
  readonly command: Command;
  readonly cwd: string;
}

/** One implementation of the echo service. */
export interface Server {
  /** Catalogue name. */
  readonly name: string;
  readonly start: () => Start;
}

/** A program that is one conformance client or more. */
export interface Program {
  readonly start: () => Start;
  /** Interpreted: it takes `--each-line`, so that it is started and its code warmed up once and not for each pair. */
  readonly eachLine: boolean;
}

/** One conformance client. */
export interface Client {
  readonly name: string;
  readonly program: Program;
  /** What chooses this client among those of the program. */
  readonly arguments: readonly string[];
}

const root = inRepository();
const node = (...args: string[]): Start => ({ command: [process.execPath, ...args], cwd: root });
const python = (module: string): Start => ({
  command: [program("venv", "python"), "-m", module],
  cwd: inRepository("python"),
});
const binary = (name: string): Start => ({ command: [program("build", name)], cwd: root });

export const servers: readonly Server[] = [
  { name: "echo-ts", start: () => node(inRepository("ts", "services", "echo", "dist", "main.js")) },
  { name: "echo-go", start: () => binary("echo-go") },
  { name: "echo-rust", start: () => binary("echo-rust") },
  { name: "echo-python", start: () => python("services.echo") },
];

const typescriptClient: Program = {
  start: () => node(inRepository("ts", "conformance", "dist", "main.js")),
  eachLine: true,
};

export const clients: readonly Client[] = [
  { name: "ts", program: typescriptClient, arguments: ["--client", "generated"] },
  { name: "ts-dynamic", program: typescriptClient, arguments: ["--client", "dynamic"] },
  { name: "go", program: { start: () => binary("conformance-go"), eachLine: false }, arguments: [] },
  { name: "rust", program: { start: () => binary("conformance-rust"), eachLine: false }, arguments: [] },
  { name: "python", program: { start: () => python("conformance"), eachLine: true }, arguments: [] },
];

/** Raw HTTP/2: sees what client libraries hide. Run directly against each server. */
export const wire: Client = { name: "wire", program: typescriptClient, arguments: ["--client", "wire"] };
