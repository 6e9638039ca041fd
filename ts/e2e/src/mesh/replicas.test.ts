/** Replicas come and go; the balancer itself goes away; calls go on. */
import { EchoServiceDefinition } from "@uait/gen/uait/echo/v1/echo.js";
import { type Channel, createChannel, createClient, Metadata } from "nice-grpc";
import { afterEach, beforeEach, expect, test } from "vitest";
import { until } from "../harness/network.js";
import type { Process } from "../harness/process.js";
import { Mesh } from "./mesh.js";

const SERVICE = "echo-go";
/** A killed replica must be out of the way within this time. */
const OUT_MS = 3_000;

let mesh: Mesh;
let channel: Channel;
let other: Process | undefined;

beforeEach(async () => {
  mesh = await Mesh.open();
  channel = createChannel(mesh.edge);
});

afterEach(async () => {
  await other?.stop();
  other = undefined;
  channel.close();
});

/** Calls the service once through the edge and tells which instance answered. */
const instance = async (): Promise<string> => {
  const metadata = Metadata({ ...mesh.authorization, "x-uait-service": SERVICE });
  const { seen } = await createClient(EchoServiceDefinition, channel).echo({ message: "who" }, { metadata });
  return seen?.instance ?? "";
};

const instances = async (calls: number): Promise<Map<string, number>> => {
  const counts = new Map<string, number>();
  for (let call = 0; call < calls; call += 1) {
    const name = await instance();
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  return counts;
};

const join = async (): Promise<Process> => {
  const process = mesh.replica(SERVICE);
  await process.serving();
  await until(async () => (await instances(20)).size === 2, { what: "both replicas answer", timeoutMs: 15_000 });
  return process;
};

test("replicas_share_the_load", async () => {
  other = await join();
  const counts = await instances(200);
  expect(counts.size).toBe(2);
  for (const count of counts.values()) expect(count).toBeGreaterThan(40);
});

test("killed_replica_is_out_within_three_seconds", async () => {
  other = await join();
  other.signal("SIGKILL");
  const killed = Date.now();
  await other.exited;
  // Calls may fail while it is still listed; after the given time none may.
  await until(() => Date.now() - killed >= OUT_MS, { what: "the time given", timeoutMs: OUT_MS + 1_000 });
  const counts = await instances(200);
  expect(counts.size).toBe(1);
});

test("drained_replica_leaves_without_a_failed_call", async () => {
  other = await join();
  let calling = true;
  let calls = 0;
  const load = (async () => {
    for (; calling; calls += 1) await instance();
  })();
  expect(await other.stop()).toBe(0);
  calling = false;
  await load;
  expect(calls).toBeGreaterThan(50);
});

test("balancer_stopped_stops_no_call_and_its_return_brings_replicas_back", async () => {
  await mesh.stop("intelligent-load-balancer");
  try {
    expect((await instances(100)).size).toBe(1);
    other = mesh.replica(SERVICE);
    await other.serving();
  } finally {
    await mesh.start("intelligent-load-balancer");
  }
  await until(async () => (await instances(20)).size === 2, { what: "the new replica joins", timeoutMs: 20_000 });
});

test("envoy_started_without_the_balancer_serves_the_catalogue's_addresses", async () => {
  await mesh.stop("intelligent-load-balancer");
  try {
    await mesh.stop("envoy");
    await mesh.start("envoy");
    channel.close();
    channel = createChannel(mesh.edge);
    await until(async () => (await instance()) !== "", {
      what: "a call without the balancer",
      timeoutMs: 10_000,
      everyMs: 100,
    });
    expect((await instances(50)).size).toBe(1);
  } finally {
    await mesh.start("intelligent-load-balancer");
  }
});
