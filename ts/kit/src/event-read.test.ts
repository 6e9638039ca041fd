import type { Event } from "@uait/gen/uait/event/v1/event.js";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type EventLog, openEvents } from "./events.js";
import { startTelemetry } from "./telemetry.js";
import { NatsServer, testConfig } from "./testing/index.js";

const signal = AbortSignal.timeout(60_000);
let nats: NatsServer;
let events: EventLog;
beforeAll(async () => {
  nats = await NatsServer.start();
  const config = testConfig({ UAIT_NATS_URL: nats.url });
  events = openEvents({ config, telemetry: await startTelemetry(config, () => undefined) });
});
afterAll(async () => {
  await events?.close();
  await nats?.stop();
});

async function publish(tenant: string, message: string): Promise<void> {
  const from = {
    identity: { tenant, subject: "", scopes: [] },
    span: { traceId: "0".repeat(32), spanId: "0".repeat(16), traceFlags: 0 },
    deadlineMs: Date.now() + 10_000,
    signal,
  };
  await events.publish({ area: "echo", payload: { $case: "echoed", value: { message } }, from });
}

async function read(tenant: string, since = new Date(0)): Promise<string[]> {
  const found: Event[] = [];
  for await (const event of events.read({ area: "echo", tenant, event: "echoed", since, signal })) found.push(event);
  return found.map(({ payload }) => (payload?.$case === "echoed" ? payload.value.message : ""));
}

test("area_without_a_stream_has_no_events", async () => {
  expect(await read("nobody")).toEqual([]);
});

test("events_of_the_tenant_come_in_order_and_end_with_the_last", async () => {
  const messages = Array.from({ length: 300 }, (_, index) => `m${index}`);
  for (const message of messages) {
    await publish("acme", message);
    if (message.endsWith("0")) await publish("globex", message);
  }
  expect(await read("acme")).toEqual(messages);
  expect(await read("acme")).toEqual(messages);
  expect((await read("globex")).length).toBe(30);
  expect(await read("stranger")).toEqual([]);
  expect(await read("acme", new Date(Date.now() + 60_000))).toEqual([]);
});
