import type { RunResponse } from "@uait/gen/uait/orchestrator/v1/orchestrator.js";

/** One event of a run. */
export type RunEvent = NonNullable<RunResponse["event"]>;

interface Node {
  readonly number: number;
  readonly parentId: string;
  readonly action: string;
  text: string;
  outcome: "under way" | "scored" | "failed";
  score: number;
  best: boolean;
  why: string;
}

/** What stands for the root as the parent of an attempt. */
const ROOT = "root";

/** The tree of a run, as its events grow it. */
export class RunTree {
  readonly #nodes = new Map<string, Node>();

  add(event: RunEvent): void {
    switch (event.$case) {
      case "node": {
        const { nodeId, parentId, action } = event.value;
        const number = this.#nodes.size + 1;
        const untold = { text: "", outcome: "under way", score: 0, best: false, why: "" } as const;
        this.#nodes.set(nodeId, { number, parentId, action, ...untold });
        break;
      }
      case "token": {
        const node = this.#nodes.get(event.value.nodeId);
        if (node !== undefined) node.text += event.value.delta?.text ?? "";
        break;
      }
      case "score":
        this.#scored(event.value);
        break;
      case "nodeFailed": {
        const node = this.#nodes.get(event.value.nodeId);
        if (node === undefined) return;
        node.outcome = "failed";
        node.why = event.value.failure?.message ?? "";
        break;
      }
    }
  }

  /** Number of an attempt in the order in which they began, from 1; 0 for one that is not known. */
  numberOf(nodeId: string): number {
    return this.#nodes.get(nodeId)?.number ?? 0;
  }

  /** The tree, a line each attempt, none longer than `width` characters. */
  lines(width: number): string[] {
    return this.#branch(ROOT, "", width);
  }

  #scored({ nodeId, score, text, best }: Extract<RunEvent, { $case: "score" }>["value"]): void {
    const node = this.#nodes.get(nodeId);
    if (node === undefined) return;
    if (best) for (const other of this.#nodes.values()) other.best = false;
    Object.assign(node, { outcome: "scored", score, text, best });
  }

  #branch(parentId: string, indent: string, width: number): string[] {
    const children = [...this.#nodes].filter(([, node]) => node.parentId === parentId);
    return children.flatMap(([nodeId, node], index) => {
      const last = index === children.length - 1;
      const line = clip(`${indent}${last ? "└─" : "├─"} ${describe(node)}`, width);
      return [line, ...this.#branch(nodeId, `${indent}${last ? "   " : "│  "}`, width)];
    });
  }
}

function describe({ number, action, text, outcome, score, best, why }: Node): string {
  const agent = action.split("/")[0] ?? action;
  const state =
    outcome === "scored" ? `${score.toFixed(2)}${best ? " *" : "  "}` : outcome === "failed" ? "failed" : "...   ";
  return `${number} ${agent} ${state} ${oneLine(outcome === "failed" ? why : text)}`.trimEnd();
}

/** A text on one line. */
export function oneLine(text: string): string {
  return text.trim().replace(/\s+/gu, " ");
}

function clip(line: string, width: number): string {
  return line.length <= width ? line : `${line.slice(0, Math.max(0, width - 1))}…`;
}
