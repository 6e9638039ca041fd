import { type Arguments, parseArguments, USAGE } from "./arguments.js";
import { readCases } from "./case-file.js";
import { type CaseResult, runCases } from "./case-runner.js";
import { dynamicLibrary } from "./dynamic-client.js";
import { generatedLibrary } from "./generated-client.js";
import { runWireChecks } from "./wire-checks.js";

async function* run(options: Arguments): AsyncGenerator<CaseResult> {
  const { cases: file, only } = options;
  if (options.client === "wire") {
    yield* runWireChecks(options.target, only);
  } else if (file !== undefined) {
    const cases = (await readCases(file)).filter(({ name }) => only === undefined || name === only);
    yield* runCases({ ...options, cases, library: options.client === "dynamic" ? dynamicLibrary : generatedLibrary });
  }
}

function parse(): Arguments {
  try {
    return parseArguments(process.argv.slice(2));
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n${USAGE}\n`);
    process.exit(64);
  }
}

for await (const result of run(parse())) process.stdout.write(`${JSON.stringify(result)}\n`);
