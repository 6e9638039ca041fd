import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { z } from "zod";
import type { Bucket } from "./bucket.js";
import { MemoryBucket } from "./bucket.js";
import { type EventLog, openEvents } from "./events.js";
import { Status } from "./status.js";
import { startTelemetry } from "./telemetry.js";
import { NatsServer, testConfig, waitUntil } from "./testing/index.js";

const schema = z.object({ text: z.string() });
type Value = z.infer<typeof schema>;
const signal = AbortSignal.timeout(60_000);

let nats: NatsServer;
const opened: EventLog[] = [];
beforeAll(async () => {
  nats = await NatsServer.start();
});
afterAll(() => nats?.stop());
afterEach(async () => {
  await Promise.all(opened.splice(0).map((events) => events.close()));
});

async function natsBucket(name: string, ttlMs?: number): Promise<Bucket<Value>> {
  const config = testConfig({ UAIT_NATS_URL: nats.url });
  const events = openEvents({ config, telemetry: await startTelemetry(config, () => undefined) });
  opened.push(events);
  return events.bucket({ name, schema, ttlMs });
}

let number = 0;
const places: [string, (name: string) => Promise<Bucket<Value>>][] = [
  ["in memory", async () => new MemoryBucket<Value>()],
  ["in JetStream", natsBucket],
];

describe.for(places)("bucket %s", ([, open]) => {
  let bucket: Bucket<Value>;
  beforeEach(async () => {
    bucket = await open(`uait_test_${number++}`);
    await bucket.untilLoaded(signal);
  });

  test("value_written_is_had_at_once", async () => {
    const entry = await bucket.write({ key: "acme.a", value: { text: "x" }, expected: 0, signal });
    expect(entry).toMatchObject({ key: "acme.a", value: { text: "x" } });
    expect(bucket.get("acme.a")).toEqual(entry);
    expect(bucket.get("acme.b")).toBeUndefined();
  });

  test("entries_are_those_of_the_prefix", async () => {
    for (const key of ["acme.a", "acme.b", "globex.a"])
      await bucket.write({ key, value: { text: key }, expected: 0, signal });
    expect(
      bucket
        .entries("acme.")
        .map(({ value }) => value.text)
        .sort(),
    ).toEqual(["acme.a", "acme.b"]);
  });

  test("write_on_another_revision_changes_nothing", async () => {
    const first = await bucket.write({ key: "k", value: { text: "1" }, expected: 0, signal });
    expect(await bucket.write({ key: "k", value: { text: "x" }, expected: 0, signal })).toBeUndefined();
    const second = await bucket.write({ key: "k", value: { text: "2" }, expected: first?.revision ?? -1, signal });
    expect(await bucket.write({ key: "k", value: { text: "x" }, expected: first?.revision ?? -1, signal })).toBe(
      undefined,
    );
    expect(bucket.get("k")).toEqual(second);
  });

  test("change_is_told_to_listeners", async () => {
    const keys: string[] = [];
    bucket.onChange((key) => keys.push(key));
    await bucket.write({ key: "k", value: { text: "1" }, expected: 0, signal });
    expect(keys).toEqual(["k"]);
  });
});

describe("buckets of two processes", () => {
  test("write_of_one_reaches_the_other_and_a_later_start_has_all", async () => {
    const [one, other] = [await natsBucket("uait_shared"), await natsBucket("uait_shared")];
    await one.write({ key: "k", value: { text: "1" }, expected: 0, signal });
    await waitUntil("the other has it", () => other.get("k")?.value.text === "1");
    const third = await natsBucket("uait_shared");
    await third.untilLoaded(signal);
    expect(third.get("k")?.value).toEqual({ text: "1" });
  });

  test("write_that_lost_the_race_sees_the_winner", async () => {
    const [one, other] = [await natsBucket("uait_race"), await natsBucket("uait_race")];
    await Promise.all([one.untilLoaded(signal), other.untilLoaded(signal)]);
    const writes = [one, other].map((bucket, index) =>
      bucket.write({ key: "k", value: { text: String(index) }, expected: 0, signal }),
    );
    const entries = await Promise.all(writes);
    expect(entries.filter((entry) => entry !== undefined).length).toBe(1);
    expect(one.get("k")).toEqual(other.get("k"));
  });

  test("nats_killed_reads_go_on_writes_fail_and_what_was_missed_comes_after", async () => {
    const [one, other] = [await natsBucket("uait_kill"), await natsBucket("uait_kill")];
    const first = await one.write({ key: "k", value: { text: "1" }, expected: 0, signal });
    await waitUntil("the other has it", () => other.get("k") !== undefined);
    await nats.kill();
    expect(other.get("k")?.value.text).toBe("1");
    await expect(
      one.write({ key: "k", value: { text: "x" }, expected: first?.revision ?? 0, signal: AbortSignal.timeout(300) }),
    ).rejects.toMatchObject({ code: Status.UNAVAILABLE, metadata: { dependency: "nats" } });
    await nats.restart();
    let second: unknown;
    await waitUntil("it can be written again", async () => {
      const write = { key: "k", value: { text: "2" }, expected: first?.revision ?? 0, signal };
      second = await one.write(write).catch(() => undefined);
      return second !== undefined;
    });
    await waitUntil("the other sees it", () => other.get("k")?.value.text === "2");
  });
});

test("value_of_a_bucket_with_a_ttl_goes_in_every_process_and_in_the_store", async () => {
  const TTL_MS = 500;
  const [one, other] = [await natsBucket("uait_ttl", TTL_MS), await natsBucket("uait_ttl", TTL_MS)];
  const inMemory = new MemoryBucket<Value>(TTL_MS);
  const write = { key: "k", value: { text: "1" }, expected: 0, signal };
  expect((await Promise.all([one.write(write), inMemory.write(write)])).map((entry) => entry?.value)).toEqual([
    { text: "1" },
    { text: "1" },
  ]);
  await waitUntil("the copies forget it", () => [one, other, inMemory].every((each) => each.get("k") === undefined));
  expect([one, inMemory].flatMap((each) => each.entries(""))).toEqual([]);
  await waitUntil("it can be written as if it had never been", async () => (await one.write(write)) !== undefined);
  await waitUntil("the other has it again", () => other.get("k")?.value.text === "1");
});

test("bucket_without_an_event_log_is_empty_and_refuses_writes", async () => {
  const config = testConfig();
  const events = openEvents({ config, telemetry: await startTelemetry(config, () => undefined) });
  const bucket = events.bucket({ name: "uait_off", schema });
  await bucket.untilLoaded(signal);
  expect(bucket.entries("")).toEqual([]);
  await expect(bucket.write({ key: "k", value: { text: "" }, expected: 0, signal })).rejects.toMatchObject({
    code: Status.UNAVAILABLE,
  });
});
