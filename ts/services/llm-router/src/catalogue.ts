import { dependencyUnavailable } from "@uait/kit";
import { RouterError } from "./error.js";
import type { Model } from "./model.js";
import type { Quality } from "./quality.js";
import { type KnownModel, namesOf, type Route } from "./routing.js";
import type { Statistics } from "./statistics.js";
import type { Caller, Upstream } from "./upstream.js";

export interface CatalogueOptions {
  readonly upstreams: readonly Upstream[];
  readonly statistics: Statistics;
  readonly quality: Quality;
  /** Unix time in milliseconds. */
  readonly now: () => number;
}

/** Every model of every upstream, with what is known of it now. */
export class ModelCatalogue {
  readonly #options: CatalogueOptions;
  readonly #upstreams: ReadonlyMap<string, Upstream>;

  constructor(options: CatalogueOptions) {
    this.#options = options;
    this.#upstreams = new Map(options.upstreams.map((upstream) => [upstream.name, upstream]));
  }

  /** All models, by name. */
  async list(from: Caller, taskType = "", fresh = false): Promise<KnownModel[]> {
    const { upstreams, statistics, quality, now } = this.#options;
    const offers = await Promise.all(upstreams.map((upstream) => upstream.offer(from, fresh)));
    const nowMs = now();
    const known = offers.flatMap(({ available, models }) =>
      models.map((model) => ({
        model,
        available,
        statistics: statistics.of(model.name, nowMs),
        quality: quality.of(from.identity.tenant, taskType, model.name),
      })),
    );
    return known.sort((a, b) => (a.model.name < b.model.name ? -1 : 1));
  }

  /**
   * All models, by name, among them every one that a route names; asks anew where one is missing.
   *
   * @throws RouterError `model_unknown`; StatusError DEPENDENCY_UNAVAILABLE while an upstream, whose a local name may be, has
   * not told yet what it serves
   */
  async listFor(route: Route, from: Caller, taskType: string): Promise<KnownModel[]> {
    const known = await this.list(from, taskType);
    if (known.length > 0 && missing(route, known) === undefined) return known;
    const again = await this.list(from, taskType, true);
    const name = missing(route, again);
    if (name === undefined && again.length > 0) return again;
    const silent = await this.#silent(from);
    if (silent !== undefined && !name?.includes("/")) throw dependencyUnavailable(silent);
    if (name !== undefined) throw new RouterError({ kind: "model_unknown", model: name });
    return again;
  }

  upstreamOf(model: Model): Upstream {
    const upstream = this.#upstreams.get(model.upstream);
    if (upstream === undefined) throw new Error(`no upstream ${model.upstream}`);
    return upstream;
  }

  async #silent(from: Caller): Promise<string | undefined> {
    for (const upstream of this.#options.upstreams) {
      const { available, models } = await upstream.offer(from);
      if (!available && models.length === 0) return upstream.name;
    }
    return undefined;
  }
}

function missing(route: Route, known: readonly KnownModel[]): string | undefined {
  return namesOf(route).find((name) => !known.some(({ model }) => model.name === name));
}
