import { fileURLToPath } from "node:url";
import { loadEchoConfig, startEcho } from "@uait/echo";
import type { RunningServer } from "@uait/kit";
import { freePort, NatsServer } from "@uait/kit/testing";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Case, readCases } from "./case-file.js";
import { type CaseResult, runCases } from "./case-runner.js";
import { dynamicLibrary } from "./dynamic-client.js";
import type { Target } from "./echo-client.js";
import { generatedLibrary } from "./generated-client.js";
import { runWireChecks } from "./wire-checks.js";

const CASES = fileURLToPath(new URL("../../../proto/uait/echo/v1/cases.yaml", import.meta.url));

let nats: NatsServer;
let server: RunningServer;
let target: Target;
let cases: readonly Case[];

beforeAll(async () => {
  nats = await NatsServer.start();
  const port = await freePort();
  server = await startEcho(
    loadEchoConfig({
      UAIT_PORT: String(port),
      UAIT_HTTP_PORT: "0",
      // The service itself stands for the mesh, whose every route leads to it.
      UAIT_MESH: `127.0.0.1:${port}`,
      UAIT_NATS_URL: nats.url,
      UAIT_LEASE: "off",
      UAIT_DRAIN_DELAY_MS: "0",
      UAIT_LOG_LEVEL: "error",
      OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${await freePort()}`,
    }),
  );
  target = { address: server.address, tls: undefined, service: undefined };
  // Draining takes a process of its own: see services/echo/src/main.test.ts.
  cases = (await readCases(CASES)).filter((each) => !("probe" in each && each.probe === "drain"));
});

afterAll(async () => {
  await server.drain();
  await nats.stop();
});

async function failures(results: AsyncIterable<CaseResult>): Promise<{ ran: number; failed: CaseResult[] }> {
  let ran = 0;
  const failed: CaseResult[] = [];
  for await (const result of results) {
    ran++;
    if (!result.ok) failed.push(result);
  }
  return { ran, failed };
}

describe("echo-ts", () => {
  test.each([
    ["generated", generatedLibrary],
    ["dynamic", dynamicLibrary],
  ])("service_passes_every_case_of_the_%s_client", async (_, library) => {
    const options = { library, cases, target, server: target, pid: undefined, service: "echo-ts" };
    expect(await failures(runCases(options))).toEqual({ ran: cases.length, failed: [] });
    expect(cases.length).toBeGreaterThan(30);
  });

  test("service_passes_every_check_of_the_wire", async () => {
    expect(await failures(runWireChecks(target))).toEqual({ ran: 7, failed: [] });
  });
});
