import { afterEach, expect, test } from "vitest";
import { dial } from "./dial.js";
import { checkHealth } from "./health-client.js";
import { startTelemetry } from "./telemetry.js";
import { startTestServer, testConfig } from "./testing/index.js";

const closers: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

test("part_of_a_service_is_serving_not_serving_or_absent", async () => {
  const server = await startTestServer({});
  closers.push(() => server.drain());
  const config = testConfig({ UAIT_MESH: server.address });
  const mesh = dial({ config, telemetry: await startTelemetry(config, () => undefined) });
  closers.push(() => mesh.close());
  const ask = (part: string) => checkHealth(mesh, "echo-ts", part);
  expect(await ask("")).toBe("serving");
  // The event log of a test is off.
  expect(await ask("events")).toBe("not_serving");
  expect(await ask("no.such.Service")).toBe("absent");
});

test("service_that_is_away_cannot_be_asked", async () => {
  const config = testConfig({ UAIT_MESH: "127.0.0.1:9" });
  const mesh = dial({ config, telemetry: await startTelemetry(config, () => undefined) });
  closers.push(() => mesh.close());
  await expect(checkHealth(mesh, "echo-ts", "")).rejects.toMatchObject({ reason: expect.any(String) });
});
