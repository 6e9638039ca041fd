import {
  type Environment,
  integerVariable,
  type KitConfig,
  loadConfig as loadKitConfig,
  readVariable,
} from "@uait/kit";

/** The environment of this service. */
export interface AgentSelectorConfig extends KitConfig {
  /** How long a choice waits for what was learned, for the list of models and for its own storing, in milliseconds each. */
  readonly neighbourTimeoutMs: number;
}

/** Reads the whole environment. @throws StartError that names the variable and its range. */
export function loadConfig(env: Environment): AgentSelectorConfig {
  return {
    ...loadKitConfig(env, { service: "agent-selector", port: 9002 }),
    neighbourTimeoutMs: readVariable(env, "AGENT_SELECTOR_NEIGHBOUR_TIMEOUT_MS", "2000", integerVariable(1, 60_000)),
  };
}
