import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { readCatalogue } from "./catalogue.js";

const CATALOGUE = fileURLToPath(new URL("../../../../../deploy/mesh.yaml", import.meta.url));

test("catalogue_of_the_project_is_read", () => {
  const services = readCatalogue(CATALOGUE);
  const gateway = services.find(({ name }) => name === "gateway");
  expect(gateway).toMatchObject({ language: "typescript", calls: ["orchestrator", "llm-router"], replicas: 1 });
  expect(gateway?.grpc).toContain("uait.gateway.v1.AuthService");
  expect(services.map(({ name }) => name)).toEqual(services.map(({ name }) => name).sort());
});

test("catalogue_that_is_none_is_refused", () => {
  expect(() => readCatalogue("/nowhere/mesh.yaml")).toThrow();
});
