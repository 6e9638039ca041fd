import { type Capability, highestCostMicroUsd, lacking, type Model, type Needs } from "./model.js";
import type { ModelStatistics } from "./statistics.js";

/** Which models may answer. */
export interface Route {
  readonly target: { readonly model: string } | { readonly requirements: Requirements } | undefined;
  /** Models to try next, in order. */
  readonly fallbacks: readonly string[];
}

export const ANY: Route = { target: undefined, fallbacks: [] };

/** What a model must have. */
export interface Requirements {
  readonly capabilities: readonly Capability[];
  readonly maxCostMicroUsd: number | undefined;
  readonly maxTimeToFirstTokenMs: number | undefined;
  /** 0 for none. */
  readonly minContextTokens: number;
  readonly prefer: Preference;
}

export type Preference = "cost" | "latency" | "quality";

/** A model with what is known of it now. */
export interface KnownModel {
  readonly model: Model;
  readonly available: boolean;
  readonly statistics: ModelStatistics;
  /** Mean score in the task type: 0 to 1; `undefined` without scores. */
  readonly quality: number | undefined;
}

/** A model as it is weighed for one request. */
export interface Candidate extends KnownModel {
  readonly eligible: boolean;
  /** What the call would cost at most; `undefined` when that has no bound. */
  readonly highestCostMicroUsd: number | undefined;
  readonly reasons: readonly string[];
}

export interface RoutingInput {
  readonly route: Route;
  readonly known: readonly KnownModel[];
  readonly needs: Needs;
  /** 0 when not known. */
  readonly inputTokens: number;
  /** 0 when not known. */
  readonly maxOutputTokens: number;
  readonly nowMs: number;
}

/** Weighs every model for a request: those that would be tried, in order, then those that would not. */
export function weigh(input: RoutingInput): Candidate[] {
  const named = namesOf(input.route);
  const candidates = input.known.map((known) => weighOne(known, named, input));
  const prefer = preferenceOf(input.route);
  const rank = (candidate: Candidate) => {
    const place = named.indexOf(candidate.model.name);
    return place === -1 ? placeOfOthers(input.route) : place;
  };
  return candidates.sort(
    (a, b) =>
      Number(b.eligible) - Number(a.eligible) ||
      rank(a) - rank(b) ||
      Number(b.available) - Number(a.available) ||
      Number(rests(a, input.nowMs)) - Number(rests(b, input.nowMs)) ||
      PREFERENCES[prefer](a, b) ||
      (a.model.name < b.model.name ? -1 : 1),
  );
}

/** The models that a route names, in the order in which they are tried. */
export function namesOf({ target, fallbacks }: Route): string[] {
  const names = target !== undefined && "model" in target ? [target.model, ...fallbacks] : [...fallbacks];
  return [...new Set(names)];
}

// Whatever fits comes before the fallbacks; a named model comes before all.
function placeOfOthers({ target }: Route): number {
  return target !== undefined && "model" in target ? Number.POSITIVE_INFINITY : -1;
}

function preferenceOf({ target }: Route): Preference {
  return target !== undefined && "requirements" in target ? target.requirements.prefer : "cost";
}

function weighOne(known: KnownModel, named: readonly string[], input: RoutingInput): Candidate {
  const { route, needs, inputTokens, maxOutputTokens, nowMs } = input;
  const { model, available, statistics, quality } = known;
  const highest = highestCostMicroUsd(model, inputTokens, maxOutputTokens);
  const lacks = lacking(model, needs);
  const reasons: string[] = [];
  const place = named.indexOf(model.name);
  if (place >= 0) reasons.push(place === 0 && isModel(route) ? "named by the route" : "a fallback of the route");
  else if (isModel(route)) lacks.push("not named by the route");
  else if (route.target !== undefined && "requirements" in route.target)
    lacks.push(...unmet(known, route.target.requirements, highest));
  reasons.push(
    highest === undefined ? "its cost has no bound without max_output_tokens" : `costs ${highest} micro-USD at most`,
    statistics.medianTimeToFirstTokenMs === undefined
      ? "no call in the last hour"
      : `first token after ${Math.round(statistics.medianTimeToFirstTokenMs)} ms in the median`,
  );
  if (preferenceOf(route) === "quality")
    reasons.push(
      quality === undefined ? "no scores in this task type" : `scores ${quality.toFixed(3)} in this task type`,
    );
  if (!available) reasons.push(`${model.upstream} does not answer now`);
  if (rests(known, nowMs)) reasons.push(`${model.upstream} asked for no calls for now`);
  return {
    ...known,
    eligible: lacks.length === 0,
    highestCostMicroUsd: highest,
    reasons: [...lacks, ...reasons],
  };
}

function isModel({ target }: Route): boolean {
  return target !== undefined && "model" in target;
}

function unmet({ model, statistics }: KnownModel, requirements: Requirements, highest: number | undefined): string[] {
  const { capabilities, maxCostMicroUsd, maxTimeToFirstTokenMs, minContextTokens } = requirements;
  const found = capabilities.filter((each) => !model.capabilities.has(each)).map((each) => `lacks ${each}`);
  if (maxCostMicroUsd !== undefined && (highest ?? Number.POSITIVE_INFINITY) > maxCostMicroUsd)
    found.push(`may cost more than ${maxCostMicroUsd} micro-USD`);
  const median = statistics.medianTimeToFirstTokenMs;
  // Without calls nothing speaks against it, and it would never get any.
  if (maxTimeToFirstTokenMs !== undefined && median !== undefined && median > maxTimeToFirstTokenMs)
    found.push(`its first token takes longer than ${maxTimeToFirstTokenMs} ms`);
  if (minContextTokens > model.contextTokens) found.push(`has a context of ${model.contextTokens} tokens`);
  return found;
}

function rests({ statistics }: KnownModel, nowMs: number): boolean {
  return statistics.restsUntilMs > nowMs;
}

type Order = (a: Candidate, b: Candidate) => number;

// A cost without bound is the highest.
const costOf = (candidate: Candidate) => candidate.highestCostMicroUsd ?? Number.MAX_VALUE;
const priceOf = ({ model: { price } }: Candidate) => price.inputMicroUsd + price.outputMicroUsd;
const latencyOf = ({ statistics }: Candidate) => statistics.medianTimeToFirstTokenMs ?? Number.MAX_VALUE;
const ascending =
  (value: (candidate: Candidate) => number): Order =>
  (a, b) =>
    value(a) - value(b);
const byCost: Order = (a, b) =>
  ascending(costOf)(a, b) || ascending(priceOf)(a, b) || ascending(({ statistics }) => statistics.errorRate)(a, b);

const PREFERENCES: Readonly<Record<Preference, Order>> = {
  cost: (a, b) => byCost(a, b) || ascending(latencyOf)(a, b),
  latency: (a, b) => ascending(latencyOf)(a, b) || byCost(a, b),
  quality: (a, b) => ascending(({ quality }) => -(quality ?? -1))(a, b) || byCost(a, b),
};
