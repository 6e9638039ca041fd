import { inRepository, tool } from "../harness/repository.js";

export type Command = readonly [string, ...string[]];

/** One implementation of the echo service. */
export interface Server {
  /** Catalogue name. */
  readonly name: string;
  readonly command: () => Command;
}

/** One conformance client. `wire` clients look below what client libraries show, so one for each server is enough. */
export interface Client {
  readonly name: string;
  readonly command: () => Command;
}

const python = (): string => inRepository(".uait", "venv", "bin", "python");
const typescriptClient = (kind: string): Command => [
  process.execPath,
  inRepository("ts", "conformance", "dist", "main.js"),
  "--client",
  kind,
];

export const servers: readonly Server[] = [
  { name: "echo-ts", command: () => [process.execPath, inRepository("ts", "services", "echo", "dist", "main.js")] },
  { name: "echo-go", command: () => [tool("echo-go")] },
  { name: "echo-rust", command: () => [tool("echo-rust")] },
  { name: "echo-python", command: () => [python(), "-m", "uait_echo"] },
];

export const clients: readonly Client[] = [
  { name: "ts", command: () => typescriptClient("generated") },
  { name: "ts-dynamic", command: () => typescriptClient("dynamic") },
  { name: "go", command: () => [tool("conformance-go")] },
  { name: "rust", command: () => [tool("conformance-rust")] },
  { name: "python", command: () => [python(), "-m", "uait_conformance"] },
];

/** Raw HTTP/2; run directly against each server. */
export const wire: Client = { name: "wire", command: () => typescriptClient("wire") };
