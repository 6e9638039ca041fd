import {
  type Environment,
  integerVariable,
  type KitConfig,
  loadConfig as loadKitConfig,
  readVariable,
} from "@uait/kit";

export interface GatewayConfig extends KitConfig {
  /** Longest that IssueKey waits for Envoy to fetch a new key, in milliseconds. */
  readonly keySpreadMs: number;
}

/** Reads the whole environment. @throws StartError that names the variable and its range. */
export function loadConfig(env: Environment): GatewayConfig {
  return {
    ...loadKitConfig(env, { service: "gateway", port: 9999 }),
    keySpreadMs: readVariable(env, "UAIT_KEY_SPREAD_MS", "2500", integerVariable(0, 60_000)),
  };
}
