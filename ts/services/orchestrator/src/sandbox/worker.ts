import { parentPort } from "node:worker_threads";
import { ExpressionError } from "../verifiers/expression-error.js";
import { checkJsonSchema, compileSchema } from "../verifiers/json-schema.js";
import { type ProgramResult, scoreProgram } from "../verifiers/program.js";
import { checkRegex, compileRegex, extract } from "../verifiers/regex.js";
import type { ConfinedCheck, Opinion, Program } from "../verifiers/verifier.js";
import { checkJavaScript, loadQuickJs, runJavaScript } from "./javascript.js";
import type { Assignment, Report } from "./protocol.js";
import { checkPython, type PythonModule, runPython } from "./python.js";

// The thread in which callers' expressions run: whatever they do, the service's own thread goes on, and ends this one.

const port = parentPort;
if (port === null) throw new Error("this is a worker's program");
const report = (said: Report): void => port.postMessage(said);
const began = (): void => report({ kind: "began" });

/** What a check of a program's form may use: it runs nothing of it. */
const CHECK_MEMORY_BYTES = 256 * 1024 * 1024;

port.on("message", (assignment: Assignment) => {
  perform(assignment).then(report, (error: unknown) => {
    if (error instanceof ExpressionError) {
      report({ kind: "invalid", expression: error.kind, message: error.message, position: error.position });
    } else report({ kind: "failed", message: error instanceof Error ? (error.stack ?? error.message) : String(error) });
  });
});

async function perform({ task, python }: Assignment): Promise<Report> {
  switch (task.kind) {
    case "prepare":
      await prepare(task.check, python);
      return { kind: "prepared" };
    case "check":
      return { kind: "opinion", opinion: await check(task.check, task.text, python) };
    case "extract":
      began();
      return { kind: "extracted", answers: task.texts.map((text) => extract(task.pattern, text)) };
  }
}

async function prepare(given: ConfinedCheck, python: PythonModule | undefined): Promise<void> {
  switch (given.kind) {
    case "regex":
      began();
      compileRegex(given.pattern);
      return;
    case "json_schema":
      began();
      compileSchema(given.schema);
      return;
    case "program": {
      const run = { source: given.source, stdin: "", memoryBytes: CHECK_MEMORY_BYTES, began };
      const wrong =
        given.language === "python"
          ? checkPython({ ...run, python: required(python) })
          : checkJavaScript({ ...run, quickjs: await loadQuickJs() });
      if (wrong !== undefined) throw new ExpressionError("program", wrong.message, `line ${wrong.line}`);
    }
  }
}

async function check(given: ConfinedCheck, text: string, python: PythonModule | undefined): Promise<Opinion> {
  switch (given.kind) {
    case "regex":
      began();
      return checkRegex(given, text);
    case "json_schema":
      began();
      return checkJsonSchema(given, text);
    case "program":
      return scoreProgram(await runProgram(given, text, python));
  }
}

async function runProgram(program: Program, stdin: string, python: PythonModule | undefined): Promise<ProgramResult> {
  const { source, memoryBytes } = program;
  if (program.language === "python") return runPython({ python: required(python), source, stdin, memoryBytes, began });
  return runJavaScript({ quickjs: await loadQuickJs(), source, stdin, memoryBytes, began });
}

function required(python: PythonModule | undefined): PythonModule {
  if (python === undefined) throw new Error("the interpreter was not sent along");
  return python;
}
