import { expect, test } from "vitest";
import { loadConfig } from "./config.js";

test("config_has_the_catalogues_name_and_port_and_waits_two_seconds", () => {
  expect(loadConfig({})).toMatchObject({ service: "agent-selector", port: 9002, neighbourTimeoutMs: 2000 });
});

test("config_out_of_range_is_refused_with_its_name", () => {
  const load = () => loadConfig({ AGENT_SELECTOR_NEIGHBOUR_TIMEOUT_MS: "0" });
  expect(load).toThrow("AGENT_SELECTOR_NEIGHBOUR_TIMEOUT_MS=0: must be an integer from 1 to 60000");
});
