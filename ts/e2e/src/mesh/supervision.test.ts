/** Processes end without warning; the mesh goes on and they come back. */
import { EchoServiceDefinition } from "@uait/gen/uait/echo/v1/echo.js";
import { type Channel, createChannel, createClient, Metadata } from "nice-grpc";
import { afterEach, beforeEach, expect, test } from "vitest";
import { servers } from "../conformance/languages.js";
import { until } from "../harness/network.js";
import { Mesh } from "./mesh.js";

const CALLS = 100;

let mesh: Mesh;
let channel: Channel;

beforeEach(async () => {
  mesh = await Mesh.open();
  channel = createChannel(mesh.edge);
});

afterEach(() => channel.close());

const call = async (service: string): Promise<string> => {
  const metadata = Metadata({ ...mesh.authorization, "x-uait-service": service });
  const { seen } = await createClient(EchoServiceDefinition, channel).echo({ message: "still there?" }, { metadata });
  return seen?.instance ?? "";
};

test.each(servers.map(({ name }) => name))("%s_killed_is_started_again", async (service) => {
  const before = await call(service);
  const pid = (await mesh.running()).get(service);
  if (pid === undefined) throw new Error(`${service} does not run`);
  process.kill(pid, "SIGKILL");
  const after = await until(
    async () => {
      const instance = await call(service);
      return instance !== before && instance;
    },
    { what: `another process of ${service} answers`, timeoutMs: 20_000, everyMs: 100 },
  );
  expect(after).not.toBe(before);
});

test("jaeger_stopped_fails_no_call", async () => {
  await mesh.stop("jaeger");
  try {
    for (let n = 0; n < CALLS; n += 1) {
      for (const { name } of servers) expect(await call(name)).not.toBe("");
    }
  } finally {
    await mesh.start("jaeger");
  }
});

test("nats_stopped_fails_no_call_and_refuses_a_publish_with_its_reason", async () => {
  await mesh.stop("nats");
  try {
    for (const { name } of servers) expect(await call(name)).not.toBe("");
    // Each waits for NATS until just before its deadline, and Envoy calls it again.
    await Promise.all(
      servers.map(async ({ name }) => {
        const metadata = Metadata({ ...mesh.authorization, "x-uait-service": name });
        const publish = createClient(EchoServiceDefinition, channel).publish(
          { message: "x", requestId: `away-${Date.now()}` },
          { metadata: metadata.set("grpc-timeout", "1500m") },
        );
        await expect(publish, `published by ${name}`).rejects.toThrow(/UNAVAILABLE/);
      }),
    );
  } finally {
    await mesh.start("nats");
  }
});
