// Pieces as byte-level BPE splits a text before it merges: words in their capitalised parts, digits one by one, line ends
// one by one (so that counts of lines add up), other spaces, punctuation, and every code point beyond ASCII.
const PIECE = /\n|[^\S\n]+|[A-Z]?[a-z]+|[A-Z]+|[!-/:-@[-`{-~]+|./gsu;

const LONGEST_COMMON_WORD = 7;
const LONGEST_COMMON_PUNCTUATION = 8;

/**
 * About how many tokens of SmolLM2, the default model, a text is: fitted to its tokenizer, a little above it for English,
 * code and JSON (the README has the figures). Counts of texts that are joined by line ends add up.
 */
export function estimateTokens(text: string): number {
  let tokens = 0;
  for (const [piece] of text.matchAll(PIECE)) tokens += weigh(piece);
  // Sums of decimal fractions: what is over a whole number by less than this is over it by rounding only.
  return Math.max(0, Math.ceil(tokens - 1e-6));
}

function weigh(piece: string): number {
  const code = piece.codePointAt(0) ?? 0;
  if (code > 0x7f) return weighCodePoint(code);
  if (piece === " ") return 0;
  if (/\s/.test(piece)) return 1;
  if (/[0-9]/.test(piece)) return 1;
  const length = piece.length;
  if (/^[A-Z]{2,}$/.test(piece)) return 0.6 * length;
  if (/[A-Za-z]/.test(piece)) return 1.1 + 0.3 * Math.max(0, length - LONGEST_COMMON_WORD);
  if (length <= LONGEST_COMMON_PUNCTUATION) return Math.max(1, 0.75 * length);
  return 0.75 * LONGEST_COMMON_PUNCTUATION + 0.25 * (length - LONGEST_COMMON_PUNCTUATION);
}

// By the length of its UTF-8, which is what BPE begins with; letters with accents also break up the word around them.
function weighCodePoint(code: number): number {
  if (code < 0x250) return 2;
  if (code < 0x800) return 0.95;
  return code < 0x10000 ? 1.8 : 3.2;
}
