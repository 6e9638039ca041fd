import {
  type Environment,
  integerVariable,
  type KitConfig,
  loadConfig as loadKitConfig,
  readVariable,
  textVariable,
} from "@uait/kit";

/** Where a piece of infrastructure tells whether it is well. */
export interface HealthUrl {
  readonly name: string;
  readonly url: string;
}

export interface GatewayConfig extends KitConfig {
  /** Longest that IssueKey waits for Envoy to fetch a new key, in milliseconds. */
  readonly keySpreadMs: number;
  /** Path of deploy/mesh.yaml; `undefined` when the process was not told. */
  readonly catalogue: string | undefined;
  /** host:port of Envoy's admin listener; `undefined` when the process was not told. */
  readonly envoyAdmin: string | undefined;
  /** URL of Jaeger's query port; `undefined` when the process was not told. */
  readonly jaegerUrl: string | undefined;
  readonly infrastructure: readonly HealthUrl[];
}

const path = textVariable(/^.{0,4096}$/u, "a path");
const address = textVariable(/^$|^[A-Za-z0-9.[\]:_-]+:\d{1,5}$/, "host:port");
const url = textVariable(/^$|^https?:\/\/[^/]+\/?$/, "an http or https URL without a path");
const healthUrls = textVariable(
  /^$|^[a-z]+=https?:\/\/[^,]+(,[a-z]+=https?:\/\/[^,]+)*$/,
  "name=URL, separated by commas",
);

/** Reads the whole environment. @throws StartError that names the variable and its range. */
export function loadConfig(env: Environment): GatewayConfig {
  const urls = readVariable(env, "UAIT_HEALTH_URLS", "", healthUrls);
  return {
    ...loadKitConfig(env, { service: "gateway", port: 9999 }),
    keySpreadMs: readVariable(env, "UAIT_KEY_SPREAD_MS", "2500", integerVariable(0, 60_000)),
    catalogue: readVariable(env, "UAIT_CATALOGUE", "", path) || undefined,
    envoyAdmin: readVariable(env, "UAIT_ENVOY_ADMIN", "", address) || undefined,
    jaegerUrl: readVariable(env, "UAIT_JAEGER_URL", "", url) || undefined,
    infrastructure: urls === "" ? [] : urls.split(",").map(healthUrl),
  };
}

function healthUrl(entry: string): HealthUrl {
  const equals = entry.indexOf("=");
  return { name: entry.slice(0, equals), url: entry.slice(equals + 1) };
}
