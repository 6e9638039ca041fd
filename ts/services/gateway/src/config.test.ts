import { StartError } from "@uait/kit";
import { expect, test } from "vitest";
import { loadConfig } from "./config.js";

test("environment_unset_has_no_monitoring", () => {
  expect(loadConfig({})).toMatchObject({
    port: 9999,
    httpPort: 19_999,
    keySpreadMs: 2500,
    catalogue: undefined,
    envoyAdmin: undefined,
    infrastructure: [],
  });
});

test("environment_of_the_mesh_is_read", () => {
  const config = loadConfig({
    UAIT_ENVOY_ADMIN: "127.0.0.1:9901",
    UAIT_HEALTH_URLS: "nats=http://127.0.0.1:8222/healthz?js-enabled-only=true,envoy=http://127.0.0.1:9901/ready",
  });
  expect(config.envoyAdmin).toBe("127.0.0.1:9901");
  expect(config.infrastructure).toEqual([
    { name: "nats", url: "http://127.0.0.1:8222/healthz?js-enabled-only=true" },
    { name: "envoy", url: "http://127.0.0.1:9901/ready" },
  ]);
});

test.for([
  ["UAIT_ENVOY_ADMIN", "nowhere"],
  ["UAIT_HEALTH_URLS", "nats:8222"],
  ["UAIT_KEY_SPREAD_MS", "soon"],
] as [string, string][])("value_of_%s_that_is_none_is_refused", ([name, value]) => {
  expect(() => loadConfig({ [name]: value })).toThrow(StartError);
});
