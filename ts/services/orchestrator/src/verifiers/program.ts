import { type Opinion, opinion } from "./verifier.js";

/** How a program ended. */
export interface ProgramResult {
  readonly ending: ProgramEnding;
  /** The end of its standard output. */
  readonly stdout: string;
  /** The end of its standard error. */
  readonly stderr: string;
}

export type ProgramEnding =
  | { readonly kind: "exit"; readonly code: number }
  | { readonly kind: "timeout"; readonly limitMs: number }
  | { readonly kind: "memory"; readonly limitBytes: number };

const NUMBER = /^[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?$/u;

/** The number on the last line of the output, cut to 0 to 1; without one, 1 for exit code 0 and 0 for any other. */
export function scoreProgram({ ending, stdout, stderr }: ProgramResult): Opinion {
  switch (ending.kind) {
    case "timeout":
      return opinion(0, `the program was stopped after ${ending.limitMs} ms`);
    case "memory":
      return opinion(0, `the program wanted more than ${ending.limitBytes} bytes of memory`);
    case "exit": {
      const lines = stdout.trimEnd().split("\n");
      const last = (lines.at(-1) ?? "").trim();
      const said = stderr.trim().split("\n").at(-1) ?? "";
      if (NUMBER.test(last)) return opinion(Math.min(1, Math.max(0, Number(last))), lines.slice(-6, -1).join("\n"));
      const { code } = ending;
      return code === 0 ? opinion(1, stdout.trim()) : opinion(0, said === "" ? `the program ended with ${code}` : said);
    }
  }
}
