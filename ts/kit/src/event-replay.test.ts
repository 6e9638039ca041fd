import type { Event } from "@uait/gen/uait/event/v1/event.js";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type EventLog, openEvents } from "./events.js";
import { startTelemetry } from "./telemetry.js";
import { testConfig } from "./testing/echo-server.js";
import { NatsServer } from "./testing/nats-server.js";
import { waitUntil } from "./testing/wait.js";

let nats: NatsServer;
const logs: EventLog[] = [];

beforeAll(async () => {
  nats = await NatsServer.start();
});

afterAll(async () => {
  await Promise.all(logs.map((log) => log.close()));
  await nats.stop();
});

async function open(): Promise<EventLog> {
  const config = testConfig({ UAIT_NATS_URL: nats.url });
  const log = openEvents({ config, telemetry: await startTelemetry(config, () => undefined) });
  logs.push(log);
  return log;
}

const NOBODY = { traceId: "0".repeat(32), spanId: "0".repeat(16), traceFlags: 0 };
const from = {
  identity: { tenant: "acme", subject: "", scopes: [] },
  deadlineMs: undefined,
  signal: new AbortController().signal,
  span: NOBODY,
};

const publish = (log: EventLog, message: string) =>
  log.publish({ area: "echo", payload: { $case: "echoed", value: { message } }, from });

const messageOf = ({ payload }: Event) => (payload?.$case === "echoed" ? payload.value.message : "");

test("every_process_gets_every_event_from_the_first_and_those_that_come", async () => {
  const log = await open();
  for (const message of ["a", "b", "c"]) await publish(log, message);
  const [first, second] = [await open(), await open()];
  const heard: [string[], string[]] = [[], []];
  await first.replay("echo", (event) => heard[0].push(messageOf(event)));
  await second.replay("echo", (event) => heard[1].push(messageOf(event)));
  expect(heard).toEqual([
    ["a", "b", "c"],
    ["a", "b", "c"],
  ]);
  await publish(log, "d");
  await waitUntil("both have it", () => heard.every((each) => each.at(-1) === "d"));
});

test("replay_of_an_empty_area_is_done_at_once", async () => {
  const log = await open();
  await log.replay("mesh", () => undefined);
});

test("replay_goes_on_where_it_was_after_nats_was_killed", async () => {
  const log = await open();
  const heard: string[] = [];
  await log.replay("echo", (event) => heard.push(messageOf(event)));
  const before = heard.length;
  await nats.kill();
  await nats.restart();
  await publish(log, "after");
  await waitUntil("it is heard", () => heard.includes("after"), 30_000);
  expect(heard.slice(0, before)).toEqual(["a", "b", "c", "d"]);
  expect(heard.length).toBe(before + 1);
});
