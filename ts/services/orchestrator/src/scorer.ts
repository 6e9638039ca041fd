import type { WorkContext } from "@uait/kit";
import { type Degradations, degradation, failureOf, isAway } from "./failure.js";
import type { ModelTime } from "./model-time.js";
import type { Programs } from "./neighbours/ports.js";
import type { Confinement } from "./sandbox/confinement.js";
import { type Attempt, AttemptFailure, ROOT, type ScoredNode, type Scorer, type Scoring } from "./search.js";
import { addUsage, NO_USAGE } from "./usage.js";
import { checkAgreement, plainAnswer } from "./verifiers/agreement.js";
import { checkExact } from "./verifiers/exact.js";
import { checkNumeric } from "./verifiers/numeric.js";
import { type Agreement, type Judge, type Opinion, opinion, type Verifier } from "./verifiers/verifier.js";
import type { Usage, Verdict } from "./vocabulary.js";

export interface ScorerOptions {
  readonly verifiers: readonly Verifier[];
  readonly task: string;
  readonly confinement: Confinement;
  readonly programs: Programs;
  readonly from: WorkContext;
  readonly modelTime: ModelTime;
  readonly degradations: Degradations;
  /** Unix time in milliseconds. */
  readonly now: () => number;
}

/** Program that judges. */
const JUDGE_PROGRAM = "judge";
/** Time of one judgement, ms, so that a run never hangs on one. */
const JUDGE_TIMEOUT_MS = 60_000;

/** Agreement where a caller says nothing more of it. */
export const DEFAULT_AGREEMENT: Verifier = {
  name: "agreement",
  weight: 1,
  check: { kind: "agreement", pattern: "", minAttempts: 3 },
};

interface Judged {
  readonly verdict: Verdict;
  readonly usage: Usage;
  readonly cause?: unknown;
}

/** Scores by verifiers: the weighted mean of what those say that could score. */
export class VerifierScorer implements Scorer {
  readonly #options: ScorerOptions;
  #verifiers: readonly Verifier[];
  readonly #answers = new Map<string, string | undefined>();

  constructor(options: ScorerOptions) {
    this.#options = options;
    this.#verifiers = options.verifiers;
  }

  async score(attempt: Attempt, text: string, others: readonly ScoredNode[], signal: AbortSignal): Promise<Scoring> {
    const verifiers = this.#verifiers;
    const judged = await Promise.all(
      verifiers.map((verifier) => this.#judge(verifier, attempt.nodeId, text, others, signal)),
    );
    // A run is not lost with its judge. Attempts that were judged at the same moment come by here together.
    if (onlyJudges(verifiers) && judged.some(({ cause }) => isAway(cause))) {
      this.#verifiers = FALLBACK;
      return await this.score(attempt, text, others, signal);
    }
    return meanOf(verifiers, judged);
  }

  async settle(nodes: readonly ScoredNode[], signal: AbortSignal): Promise<readonly Scoring[] | undefined> {
    const verifiers = this.#verifiers;
    const agreements = verifiers.flatMap(({ check }, index) => (check.kind === "agreement" ? [{ check, index }] : []));
    if (agreements.length === 0) return undefined;
    return await Promise.all(
      nodes.map(async ({ nodeId, text, verdicts }) => {
        const judged = verdicts.map((verdict): Judged => ({ verdict, usage: NO_USAGE }));
        for (const { check, index } of agreements) {
          const verifier = verifiers[index];
          const others = nodes.filter((other) => other.nodeId !== nodeId);
          const said = await this.#agreement(check, nodeId, text, others, signal);
          if (verifier !== undefined) judged[index] = { verdict: verdictOf(verifier, said), usage: NO_USAGE };
        }
        return meanOf(verifiers, judged);
      }),
    );
  }

  async #judge(
    verifier: Verifier,
    nodeId: string,
    text: string,
    others: readonly ScoredNode[],
    signal: AbortSignal,
  ): Promise<Judged> {
    const { check } = verifier;
    switch (check.kind) {
      case "exact":
        return { verdict: verdictOf(verifier, checkExact(check, text)), usage: NO_USAGE };
      case "numeric":
        return { verdict: verdictOf(verifier, checkNumeric(check, text)), usage: NO_USAGE };
      case "regex":
      case "json_schema":
      case "program":
        return {
          verdict: verdictOf(verifier, await this.#options.confinement.check(check, text, signal)),
          usage: NO_USAGE,
        };
      case "agreement":
        return {
          verdict: verdictOf(verifier, await this.#agreement(check, nodeId, text, others, signal)),
          usage: NO_USAGE,
        };
      case "judge":
        return await this.#askJudge(verifier, check, nodeId, text, signal);
    }
  }

  async #askJudge(
    verifier: Verifier,
    check: Judge,
    nodeId: string,
    text: string,
    signal: AbortSignal,
  ): Promise<Judged> {
    const { programs, task, from, modelTime, degradations, now } = this.#options;
    // What is not said is left out: the program has its own words for a good answer.
    const said = { criteria: check.criteria, reference: check.reference };
    const inputs = { task, text, ...Object.fromEntries(Object.entries(said).filter(([, value]) => value !== "")) };
    // One judgement of one attempt by one verifier: a repeat is the same question.
    const requestId = `${nodeId.slice(0, 56)}-j${this.#verifiers.indexOf(verifier)}`;
    const deadlineMs = Math.min(from.deadlineMs ?? Number.POSITIVE_INFINITY, now() + JUDGE_TIMEOUT_MS);
    try {
      const { outputs, reasoning, usage } = await modelTime.during(() =>
        programs.predict(
          { requestId, program: JUDGE_PROGRAM, inputs, model: check.model, sampling: undefined },
          { ...from, signal, deadlineMs },
        ),
      );
      const score = Number(outputs["score"]);
      if (!Number.isFinite(score)) throw new RangeError(`the judge gave no score: ${JSON.stringify(outputs)}`);
      const why = outputs["explanation"] ?? reasoning;
      return { verdict: verdictOf(verifier, opinion(Math.min(1, Math.max(0, score)), String(why))), usage };
    } catch (error) {
      signal.throwIfAborted();
      if (isAway(error)) degradations.add(degradation("dspy", effectOf(this.#verifiers), error));
      const verdict = { verifier: verifier.name, score: 0, explanation: "", failure: failureOf(error) };
      return { verdict, usage: NO_USAGE, cause: error };
    }
  }

  async #agreement(
    check: Agreement,
    nodeId: string,
    text: string,
    others: readonly ScoredNode[],
    signal: AbortSignal,
  ): Promise<Opinion> {
    const fresh = others.filter(({ parentId }) => parentId === ROOT);
    await this.#extract(check, [{ nodeId, text }, ...fresh], signal);
    const key = (id: string) => `${check.pattern}/${id}`;
    const answers = fresh.map((other) => this.#answers.get(key(other.nodeId)));
    return checkAgreement(check, this.#answers.get(key(nodeId)), answers);
  }

  async #extract(
    { pattern }: Agreement,
    nodes: readonly { readonly nodeId: string; readonly text: string }[],
    signal: AbortSignal,
  ): Promise<void> {
    const missing = nodes.filter(({ nodeId }) => !this.#answers.has(`${pattern}/${nodeId}`));
    const texts = missing.map(({ text }) => text);
    const answers =
      pattern === "" ? texts.map(plainAnswer) : await this.#options.confinement.extract(pattern, texts, signal);
    for (const [index, { nodeId }] of missing.entries()) this.#answers.set(`${pattern}/${nodeId}`, answers[index]);
  }
}

function meanOf(verifiers: readonly Verifier[], judged: readonly Judged[]): Scoring {
  let weights = 0;
  let sum = 0;
  for (const [index, { verdict }] of judged.entries()) {
    if (verdict.failure !== undefined) continue;
    const { weight } = verifiers[index] ?? DEFAULT_AGREEMENT;
    weights += weight;
    sum += weight * verdict.score;
  }
  const usage = judged.reduce((total, each) => addUsage(total, each.usage), NO_USAGE);
  const verdicts = judged.map(({ verdict }) => verdict);
  if (weights > 0) return { score: sum / weights, verdicts, usage };
  const failed = judged.find(({ cause }) => cause !== undefined);
  const failure = verdicts[0]?.failure ?? failureOf(undefined);
  throw new AttemptFailure({ failure, usage, permanent: false, cause: failed?.cause });
}

const FALLBACK: readonly Verifier[] = [DEFAULT_AGREEMENT];

const onlyJudges = (verifiers: readonly Verifier[]): boolean => verifiers.every(({ check }) => check.kind === "judge");

function effectOf(verifiers: readonly Verifier[]): string {
  return onlyJudges(verifiers) || verifiers === FALLBACK
    ? "attempts are scored by their agreement instead of a judge"
    : "no judge scores the attempts";
}

function verdictOf({ name }: Verifier, { score, explanation }: Opinion): Verdict {
  return { verifier: name, score, explanation, failure: undefined };
}
