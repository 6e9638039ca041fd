export interface ExcerptOptions {
  /** The part that matters most; the beginning, where it is empty or not in the text. */
  readonly around: string;
  /** Whether an excerpt is short enough; holds for a shorter one where it holds for a longer one. */
  readonly fits: (excerpt: string) => boolean;
  /** Most characters to look at, in UTF-16 units, before and after the beginning of `around`. */
  readonly reach: number;
}

const ELLIPSIS = "…";
const CHARACTERS = new Intl.Segmenter("und", { granularity: "grapheme" });

/**
 * As much of a text as fits, from the part that matters on, and what stands before it where there is still room. It begins
 * and ends between characters as a reader sees them (UAX 29), with an ellipsis where something is left out; empty when not
 * even one character fits.
 */
export function excerptOf(text: string, { around, fits, reach }: ExcerptOptions): string {
  const found = around === "" ? 0 : Math.max(0, text.indexOf(around));
  const edges = boundaries(text, Math.max(0, found - reach), Math.min(text.length, found + reach));
  const first = edges.findIndex((edge) => edge >= found);
  const cut = (from: number, to: number) => {
    const [start, end] = [edges[from] ?? 0, edges[to] ?? text.length];
    return `${start > 0 ? ELLIPSIS : ""}${text.slice(start, end)}${end < text.length ? ELLIPSIS : ""}`;
  };
  const last = edges.length - 1;
  const end = greatest(first + 1, last, (to) => fits(cut(first, to)));
  if (end === undefined) return "";
  const back = end < last ? 0 : (greatest(0, first, (steps) => fits(cut(first - steps, end))) ?? 0);
  return cut(first - back, end);
}

/** Where the characters begin that lie between two places of a text, and where the last of them ends. */
function boundaries(text: string, from: number, to: number): number[] {
  // Only the text before it tells where a character begins: a part of it would be split otherwise.
  const characters = CHARACTERS.segment(text);
  const startOf = (place: number) => characters.containing(place)?.index ?? text.length;
  const [start, end] = [startOf(from), startOf(to)];
  return [...CHARACTERS.segment(text.slice(start, end))].map(({ index }) => start + index).concat(end);
}

/** The greatest whole number from `low` to `high` for which a condition holds that holds up to some number. */
function greatest(low: number, high: number, holds: (value: number) => boolean): number | undefined {
  let found: number | undefined;
  let [from, to] = [low, high];
  while (from <= to) {
    const middle = Math.floor((from + to) / 2);
    if (holds(middle)) {
      found = middle;
      from = middle + 1;
    } else to = middle - 1;
  }
  return found;
}
