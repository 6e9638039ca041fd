import { availableParallelism } from "node:os";
import {
  type Environment,
  integerVariable,
  type KitConfig,
  loadConfig as loadKitConfig,
  readVariable,
} from "@uait/kit";

export interface OrchestratorConfig extends KitConfig {
  /** Time that an optional neighbour has, ms. */
  readonly neighbourTimeoutMs: number;
  /** Runs that are held in memory. */
  readonly runsKept: number;
  /** Callers' expressions and programs that run at once. */
  readonly sandboxWorkers: number;
}

/** Reads the whole environment. @throws StartError that names the variable and its range. */
export function loadConfig(env: Environment): OrchestratorConfig {
  const workers = String(Math.max(2, Math.min(64, availableParallelism())));
  return {
    ...loadKitConfig(env, { service: "orchestrator", port: 9001 }),
    neighbourTimeoutMs: readVariable(env, "UAIT_NEIGHBOUR_TIMEOUT_MS", "2000", integerVariable(10, 60_000)),
    runsKept: readVariable(env, "UAIT_RUNS_KEPT", "10000", integerVariable(1, 1_000_000)),
    sandboxWorkers: readVariable(env, "UAIT_SANDBOX_WORKERS", workers, integerVariable(1, 64)),
  };
}
