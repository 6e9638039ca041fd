import { expect, it } from "vitest";
import type { RunEvent } from "./tree.js";
import { RunTree } from "./tree.js";
import { viewOn } from "./view.js";

const NO_SCORE = { verdicts: [], usage: undefined, model: "m" };
const node = (nodeId: string, parentId = "root"): RunEvent => ({
  $case: "node",
  value: { nodeId, parentId, action: "direct/arm", depth: 1 },
});
const token = (nodeId: string, text: string): RunEvent => ({
  $case: "token",
  value: { nodeId, delta: { text, tokens: 1, logprobs: [] } },
});
const score = (nodeId: string, value: number, text: string, best: boolean): RunEvent => ({
  $case: "score",
  value: { ...NO_SCORE, nodeId, score: value, text, best, nodes: 1 },
});
const failure = { code: 14, reason: "MODEL_UNAVAILABLE", message: "no model", fieldViolations: [] };

const ESCAPE = "\u001b[";

const GROWTH: readonly RunEvent[] = [
  node("a"),
  node("b"),
  token("a", "forty"),
  token("a", " one"),
  score("a", 0.25, "forty\none", true),
  node("c", "a"),
  { $case: "nodeFailed", value: { nodeId: "b", failure, usage: undefined } },
  score("c", 1, "42", true),
];

it("tree_grownByEvents_showsRefinementsUnderWhatTheyRefine", () => {
  const tree = new RunTree();
  for (const event of GROWTH) tree.add(event);
  expect(tree.lines(80)).toEqual([
    "├─ 1 direct 0.25   forty one",
    "│  └─ 3 direct 1.00 * 42",
    "└─ 2 direct failed no model",
  ]);
  expect(tree.lines(12).every((line) => line.length <= 12)).toBe(true);
});

it("view_onAFile_writesALineForEachThingThatHappensAndNoCursorMovement", () => {
  let text = "";
  const view = viewOn({ write: (more: string) => (text += more) }, () => 0);
  for (const event of GROWTH) view.show(event);
  view.end();
  expect(text.split("\n")).toEqual([
    "  attempt  1 by direct",
    "  attempt  2 by direct",
    "  scored   1 0.25 (best) forty one",
    "  attempt  3 by direct, refines 1",
    "  failed   2 no model",
    "  scored   3 1.00 (best) 42",
    "",
  ]);
});

it("view_onATerminal_drawsOverWhatItDrewAndLeavesTheWholeTree", () => {
  const screen: string[] = [];
  const write = (text: string): void => {
    if (text.startsWith(ESCAPE)) screen.splice(screen.length - Number.parseInt(text.slice(ESCAPE.length), 10));
    else screen.push(...text.split("\n").slice(0, -1));
  };
  let ms = 0;
  const view = viewOn({ isTTY: true, columns: 60, rows: 24, write }, () => (ms += 100));
  for (const event of GROWTH) view.show(event);
  view.end();
  expect(screen).toEqual([
    "  ├─ 1 direct 0.25   forty one",
    "  │  └─ 3 direct 1.00 * 42",
    "  └─ 2 direct failed no model",
  ]);
});
