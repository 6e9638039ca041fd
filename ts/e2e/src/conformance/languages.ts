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
  /** It is interpreted, and takes longest to start. */
  readonly slow: boolean;
}

/** One conformance client. */
export interface Client {
  readonly name: string;
  readonly start: () => Start;
}

const root = inRepository();
const node = (...args: string[]): Start => ({ command: [process.execPath, ...args], cwd: root });
const python = (module: string): Start => ({
  command: [program("venv", "python"), "-m", module],
  cwd: inRepository("python"),
});
const binary = (name: string): Start => ({ command: [program("build", name)], cwd: root });
const typescriptClient = (kind: string): Start =>
  node(inRepository("ts", "conformance", "dist", "main.js"), "--client", kind);

export const servers: readonly Server[] = [
  { name: "echo-ts", start: () => node(inRepository("ts", "services", "echo", "dist", "main.js")), slow: true },
  { name: "echo-go", start: () => binary("echo-go"), slow: false },
  { name: "echo-rust", start: () => binary("echo-rust"), slow: false },
  { name: "echo-python", start: () => python("services.echo"), slow: true },
];

export const clients: readonly Client[] = [
  { name: "ts", start: () => typescriptClient("generated") },
  { name: "ts-dynamic", start: () => typescriptClient("dynamic") },
  { name: "go", start: () => binary("conformance-go") },
  { name: "rust", start: () => binary("conformance-rust") },
  { name: "python", start: () => python("conformance") },
];

/** Raw HTTP/2: sees what client libraries hide. Run directly against each server. */
export const wire: Client = { name: "wire", start: () => typescriptClient("wire") };
