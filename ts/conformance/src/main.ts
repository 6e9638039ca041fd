import { createInterface } from "node:readline";
import { type Arguments, EACH_LINE, parseArguments, USAGE } from "./arguments.js";
import { type Case, readCases } from "./case-file.js";
import { type CaseResult, runCases } from "./case-runner.js";
import { dynamicLibrary } from "./dynamic-client.js";
import { generatedLibrary } from "./generated-client.js";
import { runWireChecks } from "./wire-checks.js";

// Each file of cases is read once, however many runs this process makes.
const files = new Map<string, Promise<readonly Case[]>>();

async function* run(options: Arguments): AsyncGenerator<CaseResult> {
  const { cases: file, only } = options;
  if (options.client === "wire") {
    yield* runWireChecks(options.target, only);
  } else if (file !== undefined) {
    const read = files.get(file) ?? readCases(file);
    files.set(file, read);
    const cases = (await read).filter(({ name }) => only === undefined || name === only);
    yield* runCases({ ...options, cases, library: options.client === "dynamic" ? dynamicLibrary : generatedLibrary });
  }
}

/** Runs what a command line says and prints the results. @returns the exit code */
async function main(argv: readonly string[]): Promise<number> {
  let options: Arguments;
  try {
    options = parseArguments(argv);
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n${USAGE}\n`);
    return 64;
  }
  for await (const result of run(options)) process.stdout.write(`${JSON.stringify(result)}\n`);
  return 0;
}

const argv = process.argv.slice(2);
if (argv.length === 1 && argv[0] === EACH_LINE) {
  for await (const line of createInterface({ input: process.stdin })) {
    process.stdout.write(`${JSON.stringify({ exit: await main(JSON.parse(line) as string[]) })}\n`);
  }
} else {
  process.exitCode = await main(argv);
}
