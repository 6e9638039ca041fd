import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { EchoService } from "@uait/gen/es/uait/echo/v1/echo_pb.js";
import { afterAll, expect, test } from "vitest";
import { readCases } from "./case-file.js";

const CASES = fileURLToPath(new URL("../../../proto/uait/echo/v1/cases.yaml", import.meta.url));
const directory = mkdtempSync(join(tmpdir(), "uait-cases-"));

afterAll(() => rmSync(directory, { recursive: true }));

function read(yaml: string) {
  const path = join(directory, "cases.yaml");
  writeFileSync(path, yaml);
  return readCases(path);
}

test("case_without_options_has_the_documented_defaults", async () => {
  expect(await read("cases: [{name: a, call: Echo, send: [{message: x}], expect: {}}]")).toEqual([
    {
      name: "a",
      call: "Echo",
      metadata: {},
      send: [{ message: "x" }],
      fill: {},
      deadline_ms: 10_000,
      repeat: 1,
      save: {},
      expect: { code: "OK" },
    },
  ]);
});

test.each([
  ["an unknown field", "{name: a, call: Echo, send: [], expect: {}, retries: 3}"],
  ["an unknown expectation", "{name: a, call: Echo, send: [], expect: {reasn: R}}"],
  ["an unknown probe", "{name: a, probe: reboot, count: 1}"],
  ["a probe without its parameters", "{name: a, probe: streams}"],
  ["no expectation", "{name: a, call: Echo, send: []}"],
  ["another compression", "{name: a, call: Echo, send: [], compress: zstd, expect: {}}"],
  ["a name with spaces", "{name: a b, call: Echo, send: [], expect: {}}"],
])("case_with_%s_is_refused", async (_, yaml) => {
  await expect(read(`cases: [${yaml}]`)).rejects.toThrow();
});

test("cases_of_the_project_have_names_of_their_own_and_call_every_method", async () => {
  const cases = await readCases(CASES);
  const names = cases.map(({ name }) => name);
  expect(new Set(names).size).toBe(names.length);
  const called = new Set(cases.flatMap((each) => ("call" in each ? [each.call] : [])));
  expect([...called].sort()).toEqual(EchoService.methods.map(({ name }) => name).sort());
});
