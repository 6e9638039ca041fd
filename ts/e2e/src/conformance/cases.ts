import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parse } from "yaml";
import { inRepository } from "../harness/repository.js";

/** The cases, in the order in which clients run them here. */
export interface Cases {
  /** The file that clients take. */
  readonly file: string;
  readonly count: number;
  /**
   * How many are at the front, before those that wait for a time to pass: deadlines, cancellation, the drain. What these
   * measure should meet processors that are not kept busy; of those at the front the light ones are last.
   */
  readonly work: number;
}

/** The fields of a case that tell what it costs. */
interface CaseShape {
  readonly name: string;
  readonly probe?: string;
  readonly fill?: object;
  readonly expect?: { readonly count?: number };
}

const MANY = 1000;

/** 0 for a case that keeps processors busy, 1 for one that does not, 2 for one that waits for a time to pass. */
function rank(each: CaseShape): 0 | 1 | 2 {
  const { probe, fill, expect } = each;
  if (probe !== undefined) return probe === "streams" ? 0 : 2;
  if (JSON.stringify(each).includes("DEADLINE_EXCEEDED")) return 2;
  return fill !== undefined || (expect?.count ?? 0) >= MANY ? 0 : 1;
}

/** Reads the cases and writes them by their rank, as JSON, which is YAML too, into the folder. */
export async function orderCases(folder: string): Promise<Cases> {
  const text = await readFile(inRepository("proto", "uait", "echo", "v1", "cases.yaml"), "utf8");
  const { cases } = parse(text) as { cases: readonly CaseShape[] };
  const ordered = cases.toSorted((a, b) => rank(a) - rank(b));
  const file = join(folder, "cases.yaml");
  await writeFile(file, JSON.stringify({ cases: ordered }));
  return { file, count: ordered.length, work: ordered.filter((each) => rank(each) < 2).length };
}
