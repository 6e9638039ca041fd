import { RouterError } from "./error.js";
import type { Generation, UpstreamEnd, UpstreamEvent } from "./generation.js";
import type { Model } from "./model.js";
import type { Caller, Upstream } from "./upstream.js";

/** What one call of a model has come to so far. */
export interface AttemptState {
  /** Since when, by the monotonic clock, in milliseconds. */
  readonly startedMs: number;
  /** Milliseconds to the first token; `undefined` before it. */
  firstTokenMs: number | undefined;
  /** Deltas that came: about as many tokens. */
  deltas: number;
  end: UpstreamEnd | undefined;
}

export interface AttemptOptions {
  readonly upstream: Upstream;
  readonly model: Model;
  readonly generation: Generation;
  readonly from: Caller;
  readonly state: AttemptState;
  /** Monotonic milliseconds. */
  readonly elapsed: () => number;
}

/**
 * Calls a model and passes on what it says. Ends at once, and the upstream with it, when the caller goes, the first token does
 * not come in time, or the upstream falls silent; time that the caller takes to read does not count.
 *
 * @throws RouterError, StatusError, or the reason of the caller's signal
 */
export async function* attempt(options: AttemptOptions): AsyncGenerator<UpstreamEvent> {
  const { upstream, model, generation, from, state, elapsed } = options;
  const limit = new AbortController();
  const giveUp = () => limit.abort(from.signal.reason);
  if (from.signal.aborted) giveUp();
  from.signal.addEventListener("abort", giveUp, { once: true });
  const aborted = new Promise<never>((_, reject) => {
    limit.signal.addEventListener("abort", () => reject(limit.signal.reason), { once: true });
  });
  // Nobody may be waiting when it is aborted.
  aborted.catch(() => undefined);
  const caller = { identity: from.identity, deadlineMs: from.deadlineMs, span: from.span, signal: limit.signal };
  const events = upstream.generate(model, generation, caller)[Symbol.asyncIterator]();
  try {
    for (;;) {
      const [waitMs, fault] =
        state.firstTokenMs === undefined
          ? ([upstream.patience.firstTokenMs - (elapsed() - state.startedMs), "first_token_timeout"] as const)
          : ([upstream.patience.idleMs, "idle_timeout"] as const);
      const late = () =>
        limit.abort(new RouterError({ kind: "upstream", upstream: upstream.name, model: model.name, fault }));
      const timer = setTimeout(late, Math.max(0, waitMs));
      let result: IteratorResult<UpstreamEvent>;
      try {
        result = await Promise.race([events.next(), aborted]);
      } catch (error) {
        throw limit.signal.aborted ? limit.signal.reason : error;
      } finally {
        clearTimeout(timer);
      }
      if (result.done === true) return;
      note(state, result.value, elapsed());
      yield result.value;
    }
  } finally {
    from.signal.removeEventListener("abort", giveUp);
    limit.abort();
    // Not awaited: an upstream that does not end must not hold up the caller.
    events.return?.(undefined).catch(() => undefined);
  }
}

function note(state: AttemptState, event: UpstreamEvent, nowMs: number): void {
  switch (event.kind) {
    case "accepted":
      return;
    case "end":
      state.end = event;
      return;
    case "delta":
    case "tool_call":
      state.deltas++;
      state.firstTokenMs ??= nowMs - state.startedMs;
  }
}
