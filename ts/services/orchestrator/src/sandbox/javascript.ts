import variant from "@jitl/quickjs-ng-wasmfile-release-sync";
import {
  newQuickJSWASMModuleFromVariant,
  type QuickJSContext,
  type QuickJSHandle,
  type QuickJSSyncVariant,
  type QuickJSWASMModule,
} from "quickjs-emscripten-core";
import type { ProgramEnding, ProgramResult } from "../verifiers/program.js";
import { KEPT_OUTPUT_BYTES, OutputTail } from "./output-tail.js";

export interface JavaScriptRun {
  readonly quickjs: QuickJSWASMModule;
  readonly source: string;
  readonly stdin: string;
  /** Memory of the program's heap. */
  readonly memoryBytes: number;
  /** Called when the program begins. */
  began(): void;
}

const STACK_BYTES = 512 * 1024;
const EXIT = "ProgramExit";

/** Loads QuickJS, compiled to WebAssembly. */
export function loadQuickJs(): Promise<QuickJSWASMModule> {
  // Its types are those of its CommonJS file, while Node loads its module.
  return newQuickJSWASMModuleFromVariant(variant as unknown as QuickJSSyncVariant);
}

/**
 * Runs a program to its end, in a heap of its own: the language and, as in QuickJS's own shell, `std.in.readAsString()`,
 * `std.exit(code)`, `print` and `console`. A program without end is ended by ending the worker that this runs in.
 */
export function runJavaScript(run: JavaScriptRun): ProgramResult {
  const stdout = new OutputTail(KEPT_OUTPUT_BYTES);
  const stderr = new OutputTail(KEPT_OUTPUT_BYTES);
  const ending = inContext(run, (context): ProgramEnding => {
    let exit: number | undefined;
    defineGlobals(context, run.stdin, { stdout, stderr }, (code) => {
      exit = code;
    });
    run.began();
    const failure = evaluate(context, run.source);
    if (exit !== undefined) return { kind: "exit", code: exit };
    if (failure === undefined) return { kind: "exit", code: 0 };
    if (failure.includes("out of memory")) return { kind: "memory", limitBytes: run.memoryBytes };
    writeLine(stderr, failure);
    return { kind: "exit", code: 1 };
  });
  return { ending, stdout: stdout.text, stderr: stderr.text };
}

/** What is wrong with a program's form, with its line; `undefined` when it compiles. */
export function checkJavaScript(run: JavaScriptRun): { readonly message: string; readonly line: string } | undefined {
  return inContext(run, (context) => {
    run.began();
    const result = context.evalCode(run.source, "program", { type: "module", compileOnly: true });
    if (result.error === undefined) {
      result.dispose();
      return undefined;
    }
    const error: unknown = context.dump(result.error);
    result.error.dispose();
    const { message, stack = "" } = error as { readonly message?: string; readonly stack?: string };
    return { message: message ?? String(error), line: /program:(\d+)/u.exec(stack)?.[1] ?? "0" };
  });
}

function inContext<Result>({ quickjs, memoryBytes }: JavaScriptRun, work: (context: QuickJSContext) => Result): Result {
  const runtime = quickjs.newRuntime();
  runtime.setMemoryLimit(memoryBytes);
  runtime.setMaxStackSize(STACK_BYTES);
  const context = runtime.newContext();
  const result = work(context);
  // The worker's module is thrown away with what a program left behind that cannot be freed.
  context.dispose();
  runtime.dispose();
  return result;
}

// A module, so that what it awaits at its top is part of it: its promise is settled when all jobs have run.
function evaluate(context: QuickJSContext, source: string): string | undefined {
  const result = context.evalCode(source, "program", { type: "module" });
  if (result.error !== undefined) return failureOf(context, result.error);
  return result.value.consume((value) => {
    const jobs = context.runtime.executePendingJobs();
    if (jobs.error !== undefined) return failureOf(context, jobs.error);
    jobs.dispose();
    const state = context.getPromiseState(value);
    if (state.type === "rejected") return failureOf(context, state.error);
    return state.type === "pending" ? "the program waits for what never comes" : undefined;
  });
}

function failureOf(context: QuickJSContext, handle: QuickJSHandle): string {
  const error: unknown = context.dump(handle);
  handle.dispose();
  const { name, message } = (error ?? {}) as { readonly name?: string; readonly message?: string };
  return name === undefined ? `uncaught ${String(error)}` : `${name}: ${message ?? ""}`;
}

function defineGlobals(
  context: QuickJSContext,
  stdin: string,
  streams: { readonly stdout: OutputTail; readonly stderr: OutputTail },
  onExit: (code: number) => void,
): void {
  const write = (name: string, stream: OutputTail) =>
    context.newFunction(name, (...args) => {
      writeLine(stream, args.map((arg) => shown(context, arg)).join(" "));
    });
  const define = (target: QuickJSHandle, name: string, value: QuickJSHandle) =>
    value.consume((handle) => context.setProp(target, name, handle));
  const object = (entries: Readonly<Record<string, QuickJSHandle>>) => {
    const made = context.newObject();
    for (const [name, value] of Object.entries(entries)) define(made, name, value);
    return made;
  };
  define(context.global, "print", write("print", streams.stdout));
  define(
    context.global,
    "console",
    object({ log: write("log", streams.stdout), error: write("error", streams.stderr) }),
  );
  const readAsString = context.newFunction("readAsString", () => context.newString(stdin));
  const exit = context.newFunction("exit", (code) => {
    onExit(code === undefined ? 0 : context.getNumber(code) & 0xff);
    throw Object.assign(new Error(), { name: EXIT });
  });
  define(context.global, "std", object({ in: object({ readAsString }), exit }));
}

function shown(context: QuickJSContext, handle: QuickJSHandle): string {
  const value: unknown = context.dump(handle);
  return typeof value === "object" && value !== null ? JSON.stringify(value) : String(value);
}

function writeLine(stream: OutputTail, line: string): void {
  stream.write(new TextEncoder().encode(`${line}\n`));
}
