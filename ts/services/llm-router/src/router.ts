import { cancelled, deadlineExceeded, Status, type StatusError, toStatusError } from "@uait/kit";
import { type AttemptState, attempt } from "./attempt.js";
import { NOTHING, type Spent, sum } from "./budget.js";
import type { Budgets } from "./budgets.js";
import type { ModelCatalogue } from "./catalogue.js";
import { RouterError, toStatus } from "./error.js";
import {
  estimateInputTokens,
  type FinishReason,
  type Generation,
  NO_TOKENS,
  type TextDelta,
  type TokenCounts,
  type ToolCall,
} from "./generation.js";
import { costMicroUsd, type Model, needsOf } from "./model.js";
import { type Candidate, type Route, weigh } from "./routing.js";
import type { Statistics } from "./statistics.js";
import type { Caller } from "./upstream.js";

/** What a call is for. */
export interface Attribution {
  readonly runId: string;
  readonly nodeId: string;
  readonly taskType: string;
  readonly agent: string;
}

export interface RoutedGeneration {
  readonly generation: Generation;
  readonly route: Route;
  readonly attribution: Attribution;
}

/** What a generation says. */
export type RouterEvent =
  | {
      readonly kind: "routed";
      readonly model: Model;
      /** From 1. */
      readonly attempt: number;
      readonly why: string;
      readonly previous: { readonly model: string; readonly error: StatusError } | undefined;
    }
  | { readonly kind: "delta"; readonly delta: TextDelta }
  | { readonly kind: "tool_call"; readonly call: ToolCall }
  | {
      readonly kind: "end";
      readonly finishReason: FinishReason;
      readonly stop: string;
      readonly spent: Spent;
      readonly timeToFirstTokenMs: number | undefined;
      readonly elapsedMs: number;
    };

/** A call of a model that ended, well or not. */
export interface FinishedCall {
  readonly model: Model;
  readonly attribution: Attribution;
  readonly generation: Generation;
  readonly attempt: number;
  readonly spent: Spent;
  readonly timeToFirstTokenMs: number | undefined;
  readonly elapsedMs: number;
  readonly finishReason: FinishReason | undefined;
  readonly error: StatusError | undefined;
}

export interface RouterOptions {
  readonly catalogue: ModelCatalogue;
  readonly statistics: Statistics;
  readonly budgets: Budgets;
  /** Unix time in milliseconds. */
  readonly now: () => number;
  /** Monotonic milliseconds. */
  readonly elapsed: () => number;
  /** Told of each call; must not wait for anything. */
  readonly onFinished: (call: FinishedCall, from: Caller) => void;
}

/** How long a model rests after a refusal for its rate that names no time, in milliseconds. */
const REST_MS = 1000;
const MAX_REST_MS = 60_000;
// The caller's fault, not the model's: says nothing of how well it works.
const NOT_THE_MODELS: ReadonlySet<Status> = new Set<Status>([
  Status.INVALID_ARGUMENT,
  Status.CANCELLED,
  Status.DEADLINE_EXCEEDED,
]);

/** Takes each call to a model, and to the next one while no token came. */
export class Router {
  readonly #options: RouterOptions;

  constructor(options: RouterOptions) {
    this.#options = options;
  }

  /** @throws RouterError, StatusError */
  async *generate(request: RoutedGeneration, from: Caller): AsyncGenerator<RouterEvent> {
    const { budgets, elapsed } = this.#options;
    const arrivedMs = elapsed();
    await budgets.admit(from.identity.tenant);
    const candidates = await this.#candidates(request, from);
    let previous: { readonly model: string; readonly error: StatusError } | undefined;
    let spent = NOTHING;
    for (const [index, candidate] of candidates.entries()) {
      const call = new Call(candidate.model, request, index + 1, elapsed);
      try {
        for await (const event of this.#attempt(call, request, from)) {
          if (event.kind === "end") spent = sum(spent, call.spent());
          else if (event.kind === "accepted") yield routed(candidate, call.attempt, previous);
          else yield event;
        }
        const { end, firstTokenMs, startedMs } = call.state;
        if (end === undefined) throw new Error("an upstream ended without an end");
        yield {
          kind: "end",
          finishReason: end.finishReason,
          stop: end.stop,
          spent,
          timeToFirstTokenMs: firstTokenMs === undefined ? undefined : startedMs + firstTokenMs - arrivedMs,
          elapsedMs: elapsed() - arrivedMs,
        };
        return;
      } catch (error) {
        const last = index === candidates.length - 1;
        if (last || from.signal.aborted || call.state.firstTokenMs !== undefined) throw error;
        previous = { model: candidate.model.name, error: toStatusError(error, toStatus) };
        spent = sum(spent, call.spent());
      }
    }
  }

  // Whatever ends a call (its end, a fault, a caller who goes) is accounted for here, once.
  async *#attempt(call: Call, { generation }: RoutedGeneration, from: Caller) {
    const { catalogue, elapsed, now } = this.#options;
    const upstream = catalogue.upstreamOf(call.model);
    let error: StatusError | undefined = cancelled();
    try {
      yield* attempt({ upstream, model: call.model, generation, from, state: call.state, elapsed });
      error = undefined;
    } catch (cause) {
      error = from.signal.aborted ? endOfCaller(from, now()) : toStatusError(cause, toStatus);
      this.#rest(call.model, cause);
      throw from.signal.aborted ? error : cause;
    } finally {
      this.#finished(call, call.state.end === undefined ? error : undefined, from);
    }
  }

  async #candidates({ generation, route, attribution }: RoutedGeneration, from: Caller): Promise<Candidate[]> {
    const { catalogue, now } = this.#options;
    const known = await catalogue.listFor(route, from, attribution.taskType);
    const weighed = weigh({
      route,
      known,
      needs: needsOf(generation),
      inputTokens: estimateInputTokens(generation),
      maxOutputTokens: generation.sampling?.maxOutputTokens ?? 0,
      nowMs: now(),
    });
    const eligible = weighed.filter((candidate) => candidate.eligible);
    if (eligible.length > 0) return eligible;
    throw new RouterError({ kind: "no_candidate", requirement: whyNone(weighed) });
  }

  #rest(model: Model, cause: unknown): void {
    if (!(cause instanceof RouterError) || cause.failure.kind !== "upstream") return;
    const { fault, retryAfterMs = REST_MS } = cause.failure;
    if (fault !== "rate_limited") return;
    this.#options.statistics.rest(model.name, this.#options.now() + Math.min(retryAfterMs, MAX_REST_MS));
  }

  #finished(call: Call, error: StatusError | undefined, from: Caller): void {
    const { statistics, budgets, elapsed, now, onFinished } = this.#options;
    const { model, state, attempt: number } = call;
    if (error === undefined || !NOT_THE_MODELS.has(error.code)) {
      statistics.record(model.name, {
        atMs: now(),
        failed: error !== undefined,
        timeToFirstTokenMs: state.firstTokenMs,
      });
    }
    budgets.charge(from.identity.tenant, call.charged());
    onFinished(
      {
        model,
        attribution: call.request.attribution,
        generation: call.request.generation,
        attempt: number,
        spent: call.spent(),
        timeToFirstTokenMs: state.firstTokenMs,
        elapsedMs: elapsed() - state.startedMs,
        finishReason: state.end?.finishReason,
        error,
      },
      from,
    );
  }
}

/** One call of one model. */
class Call {
  readonly state: AttemptState;

  constructor(
    readonly model: Model,
    readonly request: RoutedGeneration,
    readonly attempt: number,
    elapsed: () => number,
  ) {
    this.state = { startedMs: elapsed(), firstTokenMs: undefined, deltas: 0, end: undefined };
  }

  /** What it used, as far as its upstream told. */
  spent(): Spent {
    return this.#priced(this.state.end?.tokens ?? NO_TOKENS);
  }

  /** What counts against budgets: where the upstream did not tell, an estimate, so that breaking off a stream is not free. */
  charged(): Spent {
    const { end, deltas, firstTokenMs } = this.state;
    if (end?.tokens !== undefined) return this.spent();
    if (firstTokenMs === undefined) return this.#priced(NO_TOKENS);
    const inputTokens = estimateInputTokens(this.request.generation);
    return this.#priced({ inputTokens, cachedInputTokens: 0, outputTokens: deltas, reasoningTokens: 0 });
  }

  #priced(tokens: TokenCounts): Spent {
    return { ...tokens, calls: 1, costMicroUsd: costMicroUsd(this.model.price, tokens) };
  }
}

function routed(candidate: Candidate, number: number, previous: Extract<RouterEvent, { kind: "routed" }>["previous"]) {
  const { model, reasons } = candidate;
  return { kind: "routed", model, attempt: number, why: reasons.join("; "), previous } as const;
}

function endOfCaller({ deadlineMs }: Caller, nowMs: number): StatusError {
  return deadlineMs !== undefined && nowMs >= deadlineMs ? deadlineExceeded() : cancelled();
}

function whyNone(weighed: readonly Candidate[]): string {
  if (weighed.length === 0) return "there are no models";
  return weighed
    .slice(0, 8)
    .map(({ model, reasons: [reason] }) => `${model.name}: ${reason}`)
    .join("; ");
}
