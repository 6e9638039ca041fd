import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { StartError } from "@uait/kit";
import { expect, test } from "vitest";
import { loadConfig } from "./config.js";

const PRICE = { input_micro_usd: 3, output_micro_usd: 15 };
const upstream = (over: object = {}) => ({
  name: "cloud",
  base_url: "https://api.example.com/v1/",
  models: [{ name: "gpt-x", price: PRICE }],
  ...over,
});
const load = (upstreams: unknown, env: Record<string, string> = {}) =>
  loadConfig({ UAIT_LLM_UPSTREAMS: typeof upstreams === "string" ? upstreams : JSON.stringify(upstreams), ...env });

test("upstreams_unset_are_none", () => {
  expect(loadConfig({})).toMatchObject({
    port: 9003,
    upstreams: [],
    patience: { firstTokenMs: 60_000, idleMs: 30_000 },
  });
});

test("upstream_in_yaml_is_read_with_its_defaults_and_its_key", () => {
  const yaml = `
- name: cloud
  base_url: https://api.example.com/v1/
  key: {env: CLOUD_KEY}
  extensions: [top_k]
  idle_ms: 500
  models:
    - {name: gpt-x, capabilities: [tools], context_tokens: 8000, price: {input_micro_usd: 3, output_micro_usd: 15}}
`;
  const [found] = load(yaml, { CLOUD_KEY: " secret \n", UAIT_LLM_FIRST_TOKEN_MS: "700" }).upstreams;
  expect(found).toMatchObject({
    baseUrl: "https://api.example.com/v1",
    key: "secret",
    maxTokensField: "max_tokens",
    patience: { firstTokenMs: 700, idleMs: 500 },
    models: [
      {
        name: "cloud/gpt-x",
        upstreamName: "gpt-x",
        contextTokens: 8000,
        price: { inputMicroUsd: 3, cachedInputMicroUsd: 3, outputMicroUsd: 15 },
      },
    ],
  });
  expect([...(found?.models[0]?.capabilities ?? []), ...(found?.models[0]?.extensions ?? [])]).toEqual([
    "tools",
    "topK",
  ]);
});

test("upstreams_and_key_in_files_are_read", () => {
  const folder = mkdtempSync(join(tmpdir(), "uait-router-"));
  writeFileSync(join(folder, "key"), "secret\n");
  writeFileSync(join(folder, "upstreams"), JSON.stringify([upstream({ key: { file: join(folder, "key") } })]));
  const { upstreams } = loadConfig({ UAIT_LLM_UPSTREAMS_FILE: join(folder, "upstreams") });
  expect(upstreams[0]?.key).toBe("secret");
});

test.for([
  ["text_that_is_no_yaml", "{", "can be read"],
  ["an_unknown_field", [upstream({ colour: "red" })], "0"],
  ["a_url_of_another_kind", [upstream({ base_url: "ftp://x" })], "0.base_url"],
  ["two_of_one_name", [upstream(), upstream()], "different names"],
  ["no_price", [upstream({ models: [{ name: "gpt-x" }] })], "0.models.0.price"],
  ["a_key_that_is_not_set", [upstream({ key: { env: "NOWHERE" } })], "NOWHERE"],
  ["a_key_file_that_is_not_there", [upstream({ key: { file: "/nowhere/key" } })], "/nowhere/key"],
  [
    "a_capability_of_local_models_only",
    [upstream({ models: [{ name: "m", capabilities: ["local"], price: PRICE }] })],
    "0",
  ],
] as [string, unknown, string][])("environment_with_%s_is_refused", ([, upstreams, said]) => {
  expect(() => load(upstreams)).toThrow(StartError);
  expect(() => load(upstreams)).toThrow(said);
});

test("refusal_never_shows_a_key", () => {
  const refused = () => load([upstream({ key: { env: "K" } })], { K: "se cret" });
  expect(refused).toThrow("K");
  expect(String(errorOf(refused))).not.toContain("se cret");
});

function errorOf(run: () => unknown): unknown {
  try {
    return run();
  } catch (error) {
    return error;
  }
}
