import { type Environment, type KitConfig, loadConfig as loadKitConfig } from "@uait/kit";

/** The environment of this service; it has no variables beside the kit's. */
export type GatewayConfig = KitConfig;

/** Reads the whole environment. @throws StartError that names the variable and its range. */
export function loadConfig(env: Environment): GatewayConfig {
  return loadKitConfig(env, { service: "gateway", port: 9999 });
}
