import { dependencyUnavailable, type Surroundings } from "@uait/kit";
import { degradation } from "./failure.js";
import type { Degradation } from "./vocabulary.js";

/** What every run lacks at this moment, whatever it asks its neighbours. */
export function lackOf({ traces, lease }: Surroundings): Degradation[] {
  const lack: Degradation[] = [];
  if (traces === "down") lack.push(without("jaeger", "the run's trace is not recorded"));
  if (lease === "down") lack.push(without("intelligent-load-balancer", "replicas that come or go are not noticed"));
  return lack;
}

function without(dependency: string, effect: string): Degradation {
  return degradation(dependency, effect, dependencyUnavailable(dependency));
}
