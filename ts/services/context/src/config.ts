import {
  type Environment,
  integerVariable,
  type KitConfig,
  loadConfig as loadKitConfig,
  readVariable,
} from "@uait/kit";

/** The environment of this service. */
export interface ContextConfig extends KitConfig {
  /** How long Enrich waits for a source, in milliseconds. */
  readonly sourceTimeoutMs: number;
}

/** Reads the whole environment. @throws StartError that names the variable and its range. */
export function loadConfig(env: Environment): ContextConfig {
  return {
    ...loadKitConfig(env, { service: "context", port: 9004 }),
    sourceTimeoutMs: readVariable(env, "CONTEXT_SOURCE_TIMEOUT_MS", "2000", integerVariable(1, 60_000)),
  };
}
