import { afterEach, describe, expect, test } from "vitest";
import { type Events, openEvents } from "./events.js";
import type { KitContext } from "./service.js";
import { Status } from "./status.js";
import { startTelemetry, type Telemetry } from "./telemetry.js";
import { NatsServer, testConfig, waitUntil } from "./testing/index.js";

const closers: (() => Promise<void> | void)[] = [];

afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

async function startNats(): Promise<NatsServer> {
  const nats = await NatsServer.start();
  closers.push(() => nats.stop());
  return nats;
}

async function open(nats: NatsServer): Promise<{ events: Events; telemetry: Telemetry }> {
  const config = testConfig({ UAIT_NATS_URL: nats.url, UAIT_SERVICE: "echo-test" });
  const telemetry = await startTelemetry(config, () => undefined);
  const events = openEvents({ config, telemetry });
  closers.push(() => events.close());
  return { events, telemetry };
}

const SPAN = { traceId: "4bf92f3577b34da6a3ce929d0e0e4736", spanId: "00f067aa0ba902b7", traceFlags: 1 };

function caller(timeoutMs: number): Pick<KitContext, "identity" | "deadlineMs" | "signal" | "span"> {
  return {
    identity: { tenant: "acme", subject: "", scopes: [] },
    deadlineMs: Date.now() + timeoutMs,
    signal: new AbortController().signal,
    span: SPAN,
  };
}

function echoed(message: string, requestId: string, timeoutMs = 20_000) {
  const payload = { $case: "echoed", value: { message } } as const;
  return { area: "echo", payload, requestId, from: caller(timeoutMs) };
}

async function metric(telemetry: Telemetry, line: string): Promise<boolean> {
  return (await telemetry.metrics.registry.metrics()).includes(line);
}

describe("publish", () => {
  test("event_published_again_has_the_same_id_and_sequence", async () => {
    const { events, telemetry } = await open(await startNats());
    const first = await events.publish(echoed("news", "r1"));
    expect(first).toMatchObject({ sequence: 1n, duplicate: false });
    expect(await events.publish(echoed("news", "r1"))).toEqual({ ...first, duplicate: true });
    expect((await events.publish(echoed("news", "r2"))).sequence).toBe(2n);
    expect(await metric(telemetry, 'events_published_total{area="echo",outcome="stored"} 2')).toBe(true);
    expect(await metric(telemetry, 'events_published_total{area="echo",outcome="duplicate"} 1')).toBe(true);
  });

  test("nats_away_until_the_deadline_is_unavailable_by_name", async () => {
    const nats = await NatsServer.prepare();
    closers.push(() => nats.stop());
    const { events, telemetry } = await open(nats);
    expect(events.state).toBe("down");
    await expect(events.publish(echoed("news", "r1", 400))).rejects.toMatchObject({
      code: Status.UNAVAILABLE,
      reason: "DEPENDENCY_UNAVAILABLE",
      metadata: { dependency: "nats" },
    });
    expect(await metric(telemetry, 'events_published_total{area="echo",outcome="failed"} 1')).toBe(true);
  });

  test("nats_that_comes_before_the_deadline_stores_the_event", async () => {
    const nats = await NatsServer.prepare();
    closers.push(() => nats.stop());
    const { events } = await open(nats);
    const published = events.publish(echoed("news", "r1"));
    await nats.restart();
    expect(await published).toMatchObject({ sequence: 1n, duplicate: false });
    expect(events.state).toBe("up");
  });

  test("caller_that_goes_away_is_not_waited_for", async () => {
    const nats = await NatsServer.prepare();
    closers.push(() => nats.stop());
    const { events } = await open(nats);
    const cancel = new AbortController();
    const publish = echoed("news", "r1");
    const published = events.publish({ ...publish, from: { ...publish.from, signal: cancel.signal } });
    const failed = expect(published).rejects.toMatchObject({ code: Status.CANCELLED });
    cancel.abort();
    await failed;
  });
});

describe("consume", () => {
  test("event_is_handled_in_the_trace_and_for_the_tenant_of_its_publisher", async () => {
    const { events } = await open(await startNats());
    const seen: unknown[] = [];
    events.consume("echo", ({ id, payload }, { identity, span }) => {
      seen.push({ id, payload, tenant: identity.tenant, traceId: span.traceId });
    });
    const { id } = await events.publish(echoed("news", "r1"));
    await waitUntil("the event is handled", () => seen.length === 1);
    expect(seen).toEqual([
      { id, payload: { $case: "echoed", value: { message: "news" } }, tenant: "acme", traceId: SPAN.traceId },
    ]);
  });

  test("handler_that_fails_is_tried_again_until_it_succeeds", async () => {
    const { events, telemetry } = await open(await startNats());
    const attemptsMs: number[] = [];
    events.consume("echo", () => {
      attemptsMs.push(performance.now());
      if (attemptsMs.length < 3) throw new Error("not yet");
    });
    await events.publish(echoed("news", "r1"));
    await waitUntil("the third attempt", () => attemptsMs.length === 3);
    const [first = 0, second = 0, third = 0] = attemptsMs;
    expect(second - first).toBeGreaterThanOrEqual(95);
    expect(third - second).toBeGreaterThanOrEqual(190);
    await waitUntil("it is counted", () => metric(telemetry, 'events_handled_total{area="echo",outcome="handled"} 1'));
    expect(await metric(telemetry, 'events_handled_total{area="echo",outcome="failed"} 2')).toBe(true);
  });

  test("consumer_that_comes_later_is_told_of_earlier_events_once", async () => {
    const nats = await startNats();
    const first = await open(nats);
    for (const request of ["r1", "r2"]) await first.events.publish(echoed(request, request));
    const handled: string[] = [];
    const remember = ({ id }: { readonly id: string }) => void handled.push(id);
    first.events.consume("echo", remember);
    await waitUntil("both are handled", () => handled.length === 2);
    await first.events.close();
    const second = await open(nats);
    second.events.consume("echo", remember);
    const { id } = await second.events.publish(echoed("r3", "r3"));
    await waitUntil("the third is handled", () => handled.includes(id));
    expect(handled).toHaveLength(3);
  });
});

test("nats_killed_under_load_loses_nothing_and_doubles_nothing", { timeout: 120_000 }, async () => {
  const ROUNDS = 4;
  const PUBLISHERS = 8;
  const nats = await startNats();
  const { events } = await open(nats);
  const handled = new Map<string, number>();
  events.consume("echo", ({ id }) => void handled.set(id, (handled.get(id) ?? 0) + 1));
  const acknowledged = new Map<string, bigint>();
  let requests = 0;
  let publishing = true;
  const publisher = async () => {
    while (publishing) {
      const request = `load-${requests++}`;
      const { id, sequence } = await events.publish(echoed(request, request, 60_000));
      acknowledged.set(id, sequence);
    }
  };
  const publishers = Array.from({ length: PUBLISHERS }, publisher);
  for (let round = 0; round < ROUNDS; round++) {
    const target = acknowledged.size + 100;
    await waitUntil("events are acknowledged", () => acknowledged.size >= target, 30_000);
    await nats.kill();
    await waitUntil("the loss is seen", () => events.state === "down");
    await nats.restart();
  }
  const target = acknowledged.size + 100;
  await waitUntil("events are acknowledged again", () => acknowledged.size >= target, 30_000);
  publishing = false;
  await Promise.all(publishers);
  // A delivery that was under way at a kill comes again after the consumer's ack_wait of 30 s.
  await waitUntil("all are handled", () => handled.size >= acknowledged.size, 60_000);
  expect([...acknowledged.keys()].filter((id) => handled.get(id) !== 1)).toEqual([]);
  expect(handled.size).toBe(requests);
  expect(new Set(acknowledged.values()).size).toBe(acknowledged.size);
});
