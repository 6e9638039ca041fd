import type { ConfinedCheck, Opinion } from "../verifiers/verifier.js";
import type { PythonModule } from "./python.js";

/** What a worker is asked to do. */
export type Task =
  /** Say whether an expression is well-formed. */
  | { readonly kind: "prepare"; readonly check: ConfinedCheck }
  /** Check a text. */
  | { readonly kind: "check"; readonly check: ConfinedCheck; readonly text: string }
  /** Find the answer in each text: the first group, or match, of an RE2 expression. */
  | { readonly kind: "extract"; readonly pattern: string; readonly texts: readonly string[] };

/** What a worker is sent. */
export interface Assignment {
  readonly task: Task;
  /** Given where the task is a Python program's. */
  readonly python: PythonModule | undefined;
}

/** What a worker says. */
export type Report =
  /** The caller's expression runs from now on: its time is counted. */
  | { readonly kind: "began" }
  | { readonly kind: "prepared" }
  | { readonly kind: "opinion"; readonly opinion: Opinion }
  | { readonly kind: "extracted"; readonly answers: readonly (string | undefined)[] }
  | { readonly kind: "invalid"; readonly expression: string; readonly message: string; readonly position: string }
  | { readonly kind: "failed"; readonly message: string };
