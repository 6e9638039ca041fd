import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { cpus, totalmem } from "node:os";
import { inRepository, program } from "@uait/e2e";

const GIB = 1024 ** 3;

const version = (command: string, ...args: string[]): string => {
  try {
    return (
      execFileSync(command, args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] })
        .trim()
        .split("\n")[0] ?? ""
    );
  } catch (error) {
    return `unknown (${String(error).split("\n")[0]})`;
  }
};

/** A build from source knows no version of itself; what was built is what the tools module pins. */
const ghzVersion = (): string =>
  /github\.com\/bojand\/ghz (v\S+)/.exec(
    readFileSync(inRepository("deploy", "tools", "clients", "go.mod"), "utf8"),
  )?.[1] ?? "unknown";

/** What the figures were measured on and with, a line each. */
export function describeMachine(): string[] {
  const processors = cpus();
  return [
    `machine: ${processors.length} x ${processors[0]?.model.trim() ?? "unknown processor"}, ${(totalmem() / GIB).toFixed(0)} GiB, ${version("uname", "-sr")}`,
    `toolchains: node ${process.version}, ${version("go", "version")}, ${version("rustc", "--version")}, ${version(program("venv", "python"), "--version")}`,
    `load: ghz ${ghzVersion()}, in the same machine, closed loop`,
    `commit: ${version("git", "rev-parse", "--short", "HEAD")}${version("git", "status", "--porcelain") === "" ? "" : " with uncommitted changes"}`,
  ];
}
