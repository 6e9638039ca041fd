import { expect, test } from "vitest";
import { ReceivedEvents } from "./received-events.js";

const EVENT = { message: "news", traceId: "t", source: "echo-go" };
const never = new AbortController().signal;

test("event_recorded_twice_says_so", async () => {
  const received = new ReceivedEvents();
  received.record("acme", "e1", EVENT);
  expect(await received.wait("acme", "e1", never)).toEqual({ ...EVENT, handled: 1 });
  received.record("acme", "e1", EVENT);
  expect(await received.wait("acme", "e1", never)).toEqual({ ...EVENT, handled: 2 });
});

test("event_of_another_tenant_is_not_there", async () => {
  const received = new ReceivedEvents();
  received.record("acme", "e1", EVENT);
  await expect(received.wait("globex", "e1", AbortSignal.timeout(20))).rejects.toThrow();
});
