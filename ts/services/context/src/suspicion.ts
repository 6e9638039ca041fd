// What instructions to a model look like inside what should be data. A list of patterns finds the plain attempts only; it
// is a sieve before a model's eyes, and the quoting of passages does not depend on it.
const PATTERNS: readonly RegExp[] = [
  /\b(ignore|disregard|forget|override)\b.{0,40}\b(previous|prior|above|earlier|preceding|system|all|any)\b.{0,40}\b(instructions?|prompts?|rules?|messages?|directions?)\b/su,
  /\b(ignoriere|vergiss|missachte)\b.{0,60}\b(anweisung(en)?|regeln?|vorgaben?)\b/su,
  /\b(ignore[zr]?|oublie[zr]?)\b.{0,60}\b(instructions|consignes|règles)\b/su,
  /\b(ignora|olvida)\b.{0,60}\b(instrucciones|reglas)\b/su,
  /\b(reveal|print|show|repeat|output)\b.{0,30}\b(your|the)\b.{0,20}\b(system prompt|hidden prompt|initial instructions)\b/su,
  /\byou are now\b.{0,60}\b(an?|the|in|free|unrestricted|jailbroken)\b/su,
  /\b(new|updated|real) (system )?instructions?\s*:/u,
  /\bdo not (tell|inform|mention to) the user\b/u,
  /(^|\n)\s*(system|assistant|developer)\s*(message|prompt)?\s*:/u,
  /<\|[a-z_]{2,32}\|>|\[\/?inst\]|<<\/?sys>>|<\/?(system|instructions?)>|(^|\n)#{2,4} *(system|instruction)s?\b/u,
];

// Characters without width, and those that turn the direction of writing, hide words from a reader but not from a model.
const INVISIBLE = /[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff\u{e0000}-\u{e007f}]/gu;

/** Whether a text reads like an instruction to a model. */
export function readsLikeInstruction(text: string): boolean {
  const plain = text.normalize("NFKC").replace(INVISIBLE, "").toLowerCase();
  return PATTERNS.some((pattern) => pattern.test(plain));
}
