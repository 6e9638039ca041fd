/** A kind of task that is recognised by its words. */
export type TaskType = "arithmetic" | "code" | "extraction" | "classification" | "writing" | "general";

interface Cue {
  readonly weight: number;
  readonly pattern: RegExp;
}

/** The kinds, the more particular first: of two that score alike the earlier one is taken. */
const KINDS: readonly { readonly type: TaskType; readonly cues: readonly Cue[] }[] = [
  {
    type: "code",
    cues: [
      { weight: 3, pattern: /```|\bdef \w+\(|\bfunction \w*\(|#include\s*<|\bpublic (?:static )?\w+ \w+\(/u },
      {
        weight: 3,
        pattern:
          /\b(?:write|implement|fix|refactor|debug|complete)\b.{0,60}\b(?:function|method|class|program|script|code|query|unit tests?|regex)\b/u,
      },
      { weight: 2, pattern: /\b(?:python|javascript|typescript|rust|golang|java|c\+\+|sql|bash|html|css)\b/u },
      { weight: 1, pattern: /\b(?:code|compile[sr]?|stack trace|exception|bug|algorithm|regex|api)\b/u },
    ],
  },
  {
    type: "arithmetic",
    cues: [
      { weight: 3, pattern: /\d\s*(?:[+*/×÷^%]|-(?=\s*\d)|times|plus|minus|divided by|multiplied by)\s*\d/u },
      {
        weight: 2,
        pattern:
          /\b(?:calculate|compute|solve|evaluate|sum of|product of|square root|percent(?:age)? of|how (?:many|much))\b/u,
      },
      {
        weight: 1,
        pattern: /\d[^.?!]{0,80}\b(?:total|left|each|per|altogether|remain(?:s|ing)?|average|cost|more|less)\b/u,
      },
    ],
  },
  {
    type: "extraction",
    cues: [
      { weight: 3, pattern: /\b(?:extract|pull out|parse|list all|find all|identify all)\b/u },
      {
        weight: 2,
        pattern:
          /\b(?:fields?|entities|values?|names?|dates?|amounts?|e-?mails?|addresses)\b.{0,40}\b(?:from|in|of) (?:this|these|the|following)\b/u,
      },
      { weight: 2, pattern: /\b(?:as|in|to) json\b/u },
      { weight: 1, pattern: /\b(?:invoice|receipt|document|contract|log file|r[ée]sum[ée])\b/u },
    ],
  },
  {
    type: "classification",
    cues: [
      { weight: 3, pattern: /\b(?:classify|categori[sz]e|label|which (?:category|class|label)|sentiment|spam or)\b/u },
      { weight: 2, pattern: /\b(?:positive|negative|neutral)\b.{0,20}\b(?:or|,)\b/u },
      { weight: 2, pattern: /\b(?:is|are|does|do) (?:this|these|the following)\b.{0,80}\bor\b/u },
      { weight: 1, pattern: /\b(?:one of|true or false|yes or no)\b/u },
    ],
  },
  {
    type: "writing",
    cues: [
      {
        weight: 3,
        pattern:
          /\b(?:write|draft|compose)\b.{0,60}\b(?:e-?mail|letter|essay|story|poem|article|blog|post|speech|report|paragraph|haiku|song|review)\b/u,
      },
      { weight: 3, pattern: /\b(?:rewrite|rephrase|paraphrase|proofread|summari[sz]e|translate|shorten)\b/u },
      { weight: 1, pattern: /\b(?:tone|style|polite|formal|words long|in \d+ words)\b/u },
    ],
  },
];

const LEAST = 2;
// Instructions stand at a task's beginning or at its end; what is between is material.
const HEAD = 4000;
const TAIL = 1000;

/**
 * The kind of a task by the words that it uses: the sum of the weights of the cues that occur, at least 2, else `general`.
 * English, deterministic and without a model: a wrong kind only means that the task learns together with others.
 */
export function classifyTask(task: string): TaskType {
  const read = (task.length <= HEAD + TAIL ? task : `${task.slice(0, HEAD)}\n${task.slice(-TAIL)}`).toLowerCase();
  let best: { readonly type: TaskType; readonly score: number } = { type: "general", score: LEAST - 1 };
  for (const { type, cues } of KINDS) {
    const score = cues.reduce((sum, { weight, pattern }) => sum + (pattern.test(read) ? weight : 0), 0);
    if (score > best.score) best = { type, score };
  }
  return best.type;
}
