import { oneLine, type RunEvent, RunTree } from "./tree.js";

/** What a view writes on: a terminal, or anything else. */
export interface Screen {
  readonly isTTY?: boolean | undefined;
  readonly columns?: number | undefined;
  readonly rows?: number | undefined;
  write(text: string): unknown;
}

/** Shows a run while it goes on. */
export interface RunView {
  show(event: RunEvent): void;
  /** Nothing more comes: what stands there stays. */
  end(): void;
}

/** A tree that grows in its place on a terminal; a line for each thing that happens anywhere else. */
export function viewOn(screen: Screen, now: () => number): RunView {
  return screen.isTTY === true ? new GrowingTree(screen, now) : new PlainLines(screen);
}

const DEFAULT_COLUMNS = 80;
const DEFAULT_ROWS = 24;
/** Least time between two pictures, ms: every token would flicker. */
const FRAME_MS = 80;
const LINE_WIDTH = 100;

class GrowingTree implements RunView {
  readonly #screen: Screen;
  readonly #now: () => number;
  readonly #tree = new RunTree();
  #drawn = 0;
  #drawnMs = Number.NEGATIVE_INFINITY;

  constructor(screen: Screen, now: () => number) {
    this.#screen = screen;
    this.#now = now;
  }

  show(event: RunEvent): void {
    const said = plain(event, this.#tree);
    if (event.$case === "degraded" || event.$case === "agents" || event.$case === "context") {
      this.#erase();
      this.#screen.write(`  ${said}\n`);
    }
    this.#tree.add(event);
    if (event.$case === "token" && this.#now() - this.#drawnMs < FRAME_MS) return;
    this.#draw();
  }

  end(): void {
    this.#draw();
    this.#drawn = 0;
  }

  #draw(): void {
    this.#erase();
    const { columns = DEFAULT_COLUMNS, rows = DEFAULT_ROWS } = this.#screen;
    // What scrolled out of the screen could not be drawn over: only the end of a tall tree is shown.
    const lines = this.#tree.lines(columns - 3).slice(-(rows - 2));
    this.#screen.write(lines.map((line) => `  ${line}\n`).join(""));
    this.#drawn = lines.length;
    this.#drawnMs = this.#now();
  }

  #erase(): void {
    if (this.#drawn > 0) this.#screen.write(`\u001b[${this.#drawn}A\u001b[0J`);
    this.#drawn = 0;
  }
}

class PlainLines implements RunView {
  readonly #screen: Screen;
  readonly #tree = new RunTree();

  constructor(screen: Screen) {
    this.#screen = screen;
  }

  show(event: RunEvent): void {
    this.#tree.add(event);
    const line = plain(event, this.#tree);
    if (line !== undefined) this.#screen.write(`  ${line}\n`);
  }

  end(): void {
    // Every line stands already.
  }
}

/** An event as a line; `undefined` for what a reader of lines need not see. */
function plain(event: RunEvent, tree: RunTree): string | undefined {
  switch (event.$case) {
    case "started": {
      const { taskType, budget } = event.value;
      return `started  ${taskType}, at most ${budget?.maxNodes} attempts`;
    }
    case "context":
      return `context  ${event.value.citations.length} passages, ${event.value.tokens} tokens`;
    case "agents":
      return `agents   ${event.value.choices.map(({ agent, model }) => (model === "" ? agent : `${agent} (${model})`)).join(", ")}`;
    case "node": {
      const { nodeId, parentId, action } = event.value;
      const refines = parentId === "root" ? "" : `, refines ${tree.numberOf(parentId)}`;
      return `attempt  ${tree.numberOf(nodeId)} by ${action.split("/")[0]}${refines}`;
    }
    case "score": {
      const { nodeId, score, best, text } = event.value;
      const line = `scored   ${tree.numberOf(nodeId)} ${score.toFixed(2)}${best ? " (best)" : ""} ${oneLine(text)}`;
      return line.length <= LINE_WIDTH ? line : `${line.slice(0, LINE_WIDTH - 1)}…`;
    }
    case "nodeFailed":
      return `failed   ${tree.numberOf(event.value.nodeId)} ${event.value.failure?.message ?? ""}`;
    case "degraded":
      return `degraded ${event.value.dependency}: ${event.value.effect} (${event.value.failure?.message ?? ""})`;
    case "token":
    case "answer":
      return undefined;
  }
}
