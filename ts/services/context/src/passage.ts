/** Where a passage comes from. */
export type Source =
  | { readonly kind: "memory"; readonly memoryId: string }
  | { readonly kind: "context"; readonly contextId: string };

/** Something known that may help with a task. */
export interface Passage {
  readonly source: Source;
  /** What a reader may call the source. */
  readonly title: string;
  readonly text: string;
  /** The part of the text with the task's words; empty when not known. */
  readonly snippet: string;
  /** How relevant it is: 0 to 1. */
  readonly score: number;
  /** Whether it belongs to the session that the caller prefers. */
  readonly preferred: boolean;
}

/** By how much the preferred session counts more; it lifts a context over another one, not over a far better memory. */
const PREFERENCE = 1.25;
/** From this share of common word triples on, two passages say the same. */
const SAME = 0.8;
/** Characters that are compared of each passage, so that many long ones do not hold up other calls. */
const COMPARED = 4096;

/** The passages, the most relevant first; equal ones in the order of their ids. */
export function rank(passages: readonly Passage[]): Passage[] {
  const weight = ({ score, preferred }: Passage) => (preferred ? PREFERENCE * score : score);
  return [...passages].sort((a, b) => weight(b) - weight(a) || (idOf(a) < idOf(b) ? -1 : 1));
}

/** Ranked passages without those that say what a better one says already. */
export function dropDuplicates(ranked: readonly Passage[]): Passage[] {
  const kept: Compared[] = [];
  return ranked.filter((passage) => {
    const compared = compare(passage.text);
    const said = kept.some((better) => saysTheSame(better, compared));
    if (!said) kept.push(compared);
    return !said;
  });
}

interface Compared {
  /** Length of the whole text in UTF-16 units. */
  readonly length: number;
  /** Its beginning, without regard to case, spaces and forms of the same character. */
  readonly beginning: string;
  readonly triples: ReadonlySet<string>;
}

function compare(text: string): Compared {
  const beginning = normalised(text.slice(0, COMPARED));
  return { length: text.length, beginning, triples: triples(beginning) };
}

function saysTheSame(better: Compared, other: Compared): boolean {
  if (other.length <= COMPARED && better.beginning.includes(other.beginning)) return true;
  // A text that goes on where the better one ends says more than that one.
  if (Math.min(better.length, other.length) < SAME * Math.max(better.length, other.length)) return false;
  return similarity(better.triples, other.triples) >= SAME;
}

function idOf({ source }: Passage): string {
  return source.kind === "memory" ? source.memoryId : source.contextId;
}

function normalised(text: string): string {
  return text.normalize("NFKC").toLowerCase().replace(/\s+/gu, " ").trim();
}

function triples(text: string): Set<string> {
  const words = text.match(/[\p{L}\p{N}]+/gu) ?? [];
  const found = new Set<string>();
  for (let index = 0; index + 2 < words.length; index++) found.add(words.slice(index, index + 3).join(" "));
  return found;
}

/** Jaccard index: the share of triples that both have. */
function similarity(a: ReadonlySet<string>, b: ReadonlySet<string>): number {
  if (a.size === 0 || b.size === 0) return 0;
  let common = 0;
  for (const each of a) if (b.has(each)) common++;
  return common / (a.size + b.size - common);
}
