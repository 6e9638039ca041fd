import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { ROOT } from "../context.js";
import { Failure } from "../failure.js";
import { CATALOGUE_FILE, parseCatalogue } from "./load.js";

const real = readFileSync(`${ROOT}/${CATALOGUE_FILE}`, "utf8");

/** The message with which a changed catalogue is refused. */
function refusal(change: (text: string) => string): string {
  const changed = change(real);
  expect(changed, "the change must change something").not.toBe(real);
  try {
    parseCatalogue(changed);
  } catch (cause) {
    if (cause instanceof Failure && cause.reason === "CATALOGUE_INVALID") return cause.message;
    throw cause;
  }
  throw new Error("the catalogue was accepted");
}

/** Number of the first line that contains a text. */
const lineOf = (text: string, part: string): number => text.slice(0, text.indexOf(part)).split("\n").length;

describe("parseCatalogue", () => {
  it("real_catalogue_isAccepted", () => {
    const catalogue = parseCatalogue(real);
    expect(catalogue.services).toHaveLength(23);
    expect(catalogue.infrastructure.map(({ name }) => name)).toEqual(["nats", "jaeger", "weaviate", "envoy"]);
  });

  it("unknownKey_isNamedWithItsLine", () => {
    const change = (text: string): string => text.replace("    port: 8002", "    port: 8002\n    colour: red");
    expect(refusal(change)).toMatch(/^deploy\/mesh\.yaml:\d+: services\.1: Unrecognized key: "colour"$/);
  });

  it("duplicatePort_namesBothOwnersAndTheLine", () => {
    const change = (text: string): string => text.replace("port: 8003", "port: 8002");
    const changed = change(real);
    const second = lineOf(changed, "  - name: echo-rust") + 3;
    expect(refusal(change)).toContain(
      `deploy/mesh.yaml:${second}: port 8002 of echo-rust (gRPC) is taken by echo-go (gRPC)`,
    );
  });

  it("portOfInfrastructure_isTakenToo", () => {
    expect(refusal((text) => text.replace("port: 8003", "port: 8081"))).toContain(
      "port 8081 of echo-rust (gRPC) is taken by weaviate (http)",
    );
  });

  it("callToUnknownService_isNamed", () => {
    expect(refusal((text) => text.replace("calls: [echo-go]", "calls: [echo-java]"))).toContain(
      "echo-ts calls echo-java, which is not a service of the catalogue",
    );
  });

  it("callUp_isRefusedWithoutAReason", () => {
    const change = (text: string): string =>
      text.replace("calls: [weaviate-client, ml-inference]", "calls: [orchestrator]");
    expect(refusal(change)).toContain("memory (data) calls up to orchestrator (orchestration)");
  });

  it("callFromCompute_isRefusedWithoutAReason", () => {
    const change = (text: string): string =>
      text.replace(/calls:\n\s+- \{service: echo-python, exception: [^}]+\}/, "calls: [echo-python]");
    expect(refusal(change)).toContain("echo-rust calls echo-python, but compute services call nobody");
  });

  it("exceptionWithoutNeed_isRefused", () => {
    const change = (text: string): string =>
      text.replace("calls: [echo-go]", "calls: [{service: echo-go, exception: habit}]");
    expect(refusal(change)).toContain("echo-ts may call echo-go without an exception");
  });

  it("circle_isRefused", () => {
    const change = (text: string): string =>
      text.replace("calls: [ml-inference]", "calls: [ml-inference, context, agent-selector]");
    expect(refusal(change)).toContain("calls go round in a circle");
  });

  it("pathTooDeep_isShown", () => {
    const change = (text: string): string =>
      text.replace(
        "calls: [llm-router, agent-coordination, intelligent-parameter]",
        "calls: [llm-router, agent-coordination, intelligent-parameter, context]",
      );
    expect(refusal(change)).toContain(
      "gateway -> orchestrator -> agent-selector -> context -> memory -> weaviate-client is 5 calls deep; at most 4",
    );
  });

  it("nameTwice_isRefused", () => {
    expect(refusal((text) => text.replace("name: echo-rust\n", "name: echo-go\n"))).toContain(
      "echo-go is in the catalogue twice",
    );
  });

  it("replicas_takePortsToo", () => {
    const change = (text: string): string =>
      text.replace("    port: 8003", "    port: 8202").replace("    port: 8002", "    port: 8002\n    replicas: 2");
    expect(refusal(change)).toContain("port 8202 of echo-rust (gRPC) is taken by echo-go replica 1 (gRPC)");
  });

  it("missingInfrastructurePort_isNamed", () => {
    expect(refusal((text) => text.replace("edge_tls: 10443, ", ""))).toContain("envoy needs the port edge_tls");
  });

  it("brokenYaml_namesItsLine", () => {
    expect(refusal((text) => text.replace("lease: intelligent-load-balancer", "lease: [intelligent"))).toMatch(
      /^deploy\/mesh\.yaml:\d+: /,
    );
  });
});
