import type { ProgramEnding, ProgramResult } from "../verifiers/program.js";
import { KEPT_OUTPUT_BYTES, OutputTail } from "./output-tail.js";
import { ProgramExit, wasiImports } from "./wasi-host.js";
import { MEMORY_IMPORT, PAGE_BYTES } from "./wasm-memory.js";
import { type WasmModule, wasm } from "./webassembly.js";

/** CPython, compiled once for all workers; its standard library is part of the module. */
export interface PythonModule {
  readonly module: WasmModule;
  /** Pages of memory that the interpreter wants for itself. */
  readonly initialPages: number;
}

export interface PythonRun {
  readonly python: PythonModule;
  readonly source: string;
  readonly stdin: string;
  /** Memory beyond what the interpreter wants for itself. */
  readonly memoryBytes: number;
  /** Called when the interpreter is ready and the program begins. */
  began(): void;
}

// The first byte on standard error says that the interpreter is ready: the program's time begins then.
const PRELUDE = "import os,sys\nsource=sys.argv.pop()\nos.write(2,b'\\0')\n";
const RUN = `${PRELUDE}sys.argv=['program']\nexec(compile(source,'program','exec'),{'__name__':'__main__'})`;
const COMPILE = `${PRELUDE}
try:
    compile(source,'program','exec')
except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
    print(getattr(error,'lineno',None) or 0, error, sep='\\n')
    sys.exit(3)
`;

/** Runs a program to its end. A program without end is ended by ending the worker that this runs in. */
export function runPython(run: PythonRun): ProgramResult {
  return execute(RUN, run);
}

/** What is wrong with a program's form, with its line; `undefined` when it compiles. */
export function checkPython(run: PythonRun): { readonly message: string; readonly line: string } | undefined {
  const { ending, stdout } = execute(COMPILE, run);
  if (ending.kind === "exit" && ending.code === 0) return undefined;
  const [line = "0", ...message] = stdout.trim().split("\n");
  return { message: message.join(" ") || "it does not compile", line };
}

function execute(bootstrap: string, { python, source, stdin, memoryBytes, began }: PythonRun): ProgramResult {
  const maximum = python.initialPages + Math.ceil(memoryBytes / PAGE_BYTES);
  const memory = new wasm.Memory({ initial: python.initialPages, maximum });
  const stdout = new OutputTail(KEPT_OUTPUT_BYTES);
  const stderr = new OutputTail(KEPT_OUTPUT_BYTES);
  let ready = false;
  const imports = wasm.Module.imports(python.module);
  const names = imports.filter(({ kind }) => kind === "function").map(({ name }) => name);
  const wasi = wasiImports(names, memory, {
    // Isolated, without site packages and without writing byte code.
    args: ["python", "-I", "-S", "-B", "-c", bootstrap, source],
    stdin: new TextEncoder().encode(stdin),
    stdout: (bytes) => stdout.write(bytes),
    stderr(bytes) {
      if (ready) return stderr.write(bytes);
      ready = true;
      began();
      stderr.write(bytes.subarray(1));
    },
  });
  const instance = new wasm.Instance(python.module, {
    wasi_snapshot_preview1: wasi,
    [MEMORY_IMPORT.module]: { [MEMORY_IMPORT.name]: memory },
  });
  const code = exitCode(instance.exports["_start"] as () => void, stderr);
  const said = stderr.text;
  const ending: ProgramEnding =
    code !== 0 && /^MemoryError\b/mu.test(said)
      ? { kind: "memory", limitBytes: memoryBytes }
      : { kind: "exit", code: code };
  return { ending, stdout: stdout.text, stderr: said };
}

function exitCode(start: () => void, stderr: OutputTail): number {
  try {
    start();
    return 0;
  } catch (error) {
    if (error instanceof ProgramExit) return error.code;
    // A trap of the interpreter itself, such as its stack running out.
    stderr.write(new TextEncoder().encode(`\n${error instanceof Error ? error.message : String(error)}\n`));
    return 134;
  }
}
