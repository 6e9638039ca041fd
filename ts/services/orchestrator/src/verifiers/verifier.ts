/** How an attempt is scored: what `uait.orchestrator.v1.Verifier` says, as this service works with it. */
export interface Verifier {
  /** Name in the verdicts. */
  readonly name: string;
  /** Weight in the mean, above 0. */
  readonly weight: number;
  readonly check: Check;
}

/** 1 when the text equals one of those expected, else 0. */
export interface Exact {
  readonly kind: "exact";
  readonly expected: readonly string[];
  readonly ignoreCase: boolean;
  readonly keepSpace: boolean;
}

/** 1 when the RE2 expression matches, else 0. */
export interface Regex {
  readonly kind: "regex";
  readonly pattern: string;
  readonly full: boolean;
}

/** 1 when the text is JSON that fulfils the schema, else the share of its required properties that are, at most 0.9. */
export interface JsonSchema {
  readonly kind: "json_schema";
  readonly schema: string;
}

/** 1 when the last number in the text is close enough, else 0. */
export interface Numeric {
  readonly kind: "numeric";
  readonly expected: number;
  readonly absoluteTolerance: number;
  readonly relativeTolerance: number;
}

/** What a program says that reads the text on its standard input. */
export interface Program {
  readonly kind: "program";
  readonly language: ProgramLanguage;
  readonly source: string;
  /** Processor and wall time, ms. */
  readonly timeoutMs: number;
  /** Memory beyond what its interpreter needs by itself. */
  readonly memoryBytes: number;
}

export type ProgramLanguage = "python" | "javascript";

/** What a model says. */
export interface Judge {
  readonly kind: "judge";
  readonly criteria: string;
  readonly reference: string;
  readonly model: string;
}

/** The share of the other fresh attempts that give the same answer. */
export interface Agreement {
  readonly kind: "agreement";
  /** RE2 expression whose first group, or match, is the answer; empty for the last number, else the whole text. */
  readonly pattern: string;
  /** Score 0 until this many attempts exist. */
  readonly minAttempts: number;
}

/** Checks whose work depends on the caller's expression, so that it is done apart from the service's own thread. */
export type ConfinedCheck = Regex | JsonSchema | Program;

export type Check = Exact | Numeric | ConfinedCheck | Judge | Agreement;

/** Names of those that a model decides. */
export const judgesAmong = (verifiers: readonly Verifier[]): string[] =>
  verifiers.filter(({ check }) => check.kind === "judge").map(({ name }) => name);

/** What a check says of a text. */
export interface Opinion {
  /** 0 to 1. */
  readonly score: number;
  /** Why, in words: at most 4,000 characters. */
  readonly explanation: string;
}

/** Longest explanation, in characters. */
export const MAX_EXPLANATION = 4000;

/** An opinion whose explanation keeps to its limit. */
export function opinion(score: number, explanation: string): Opinion {
  return { score, explanation: clip(explanation, MAX_EXPLANATION) };
}

/** A text of at most `limit` characters, its end replaced by an ellipsis where it was longer. */
export function clip(text: string, limit: number): string {
  return text.length <= limit ? text : `${text.slice(0, limit - 1)}…`;
}
