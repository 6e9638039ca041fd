import type { EnvoyAdmin } from "./envoy-admin.js";
import { type Sample, TRAFFIC_STATS } from "./traffic.js";

const PERIOD_MS = 15_000;
const WINDOW_MS = 60_000;

/** Keeps Envoy's figures of the last minute: its counters run since its start, so their growth takes two looks. */
export class Sampler {
  readonly #admin: Pick<EnvoyAdmin, "stats">;
  readonly #now: () => number;
  readonly #timer: NodeJS.Timeout;
  #samples: Sample[] = [];

  constructor(options: { readonly admin: Pick<EnvoyAdmin, "stats">; readonly now: () => number }) {
    this.#admin = options.admin;
    this.#now = options.now;
    const look = () => void this.look().catch(() => undefined);
    this.#timer = setInterval(look, PERIOD_MS);
    this.#timer.unref();
    look();
  }

  /** Looks now. @returns that, and the look of about a minute ago, or the first. @throws StatusError when Envoy is away */
  async look(): Promise<{ readonly before: Sample | undefined; readonly after: Sample }> {
    const stats = await this.#admin.stats(TRAFFIC_STATS);
    const after = { ...stats, atMs: this.#now() };
    // The newest that is a minute old stays, so that the window is a minute from the second one on.
    const old = this.#samples.filter(({ atMs }) => atMs <= after.atMs - WINDOW_MS).at(-1);
    this.#samples = this.#samples.filter(({ atMs }) => atMs >= (old?.atMs ?? 0));
    const before = this.#samples[0];
    this.#samples.push(after);
    return { before, after };
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}
