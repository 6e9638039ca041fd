import {
  BalancerServiceDefinition,
  type BalancerServiceImplementation,
  type RegisterEndpointRequest,
} from "@uait/gen/uait/intelligent_load_balancer/v1/intelligent_load_balancer.js";
import { createServer, type Server } from "nice-grpc";
import { afterEach, expect, test } from "vitest";
import { dial } from "./dial.js";
import { Lease } from "./lease.js";
import { LoadMeter } from "./load.js";
import { startTelemetry, type Telemetry } from "./telemetry.js";
import { freePort, testConfig, waitUntil } from "./testing/index.js";

const closers: (() => Promise<void> | void)[] = [];

afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

const TTL_MS = 300;

interface Balancer {
  readonly server: Server;
  readonly received: { readonly ms: number; readonly request: RegisterEndpointRequest }[];
  withdrawn: boolean;
  /** Whether it has ceased to answer, its streams open. */
  silent: boolean;
}

async function startBalancer(port: number): Promise<Balancer> {
  const server = createServer();
  const balancer: Balancer = { server, received: [], withdrawn: false, silent: false };
  const implementation: Partial<BalancerServiceImplementation> = {
    async *registerEndpoint(requests) {
      for await (const request of requests) {
        balancer.received.push({ ms: performance.now(), request });
        if (!balancer.silent) yield { ttl: { seconds: 0n, nanos: TTL_MS * 1e6 } };
      }
      balancer.withdrawn = true;
    },
  };
  const rest = new Proxy(implementation, { get: (target, name) => Reflect.get(target, name) ?? (() => undefined) });
  server.add(BalancerServiceDefinition, rest as BalancerServiceImplementation);
  await server.listen(`127.0.0.1:${port}`);
  closers.push(() => server.forceShutdown());
  return balancer;
}

async function startLease(port: number, onSpan = (_name: string) => {}): Promise<Lease> {
  const config = testConfig({ UAIT_MESH: `127.0.0.1:${port}`, UAIT_ZONE: "a" });
  const quiet = await startTelemetry(config, () => undefined);
  const telemetry: Telemetry = {
    ...quiet,
    startSpan(name, ...rest) {
      onSpan(name);
      return quiet.startSpan(name, ...rest);
    },
  };
  const mesh = dial({ config, telemetry });
  closers.push(() => mesh.close());
  const load = new LoadMeter(config.maxInflight);
  const lease = new Lease({ config, port: 8001, mesh, load, log: telemetry.log });
  closers.push(() => lease.withdraw());
  return lease;
}

test("lease_registers_renews_at_a_third_of_its_ttl_and_withdraws", async () => {
  const port = await freePort();
  const balancer = await startBalancer(port);
  const spans: string[] = [];
  const lease = await startLease(port, (name) => spans.push(name));
  await waitUntil("four renewals", () => balancer.received.length >= 5);
  const [register, first, ...rest] = balancer.received;
  expect(register?.request.action).toMatchObject({
    $case: "register",
    value: { service: "echo-test", host: "127.0.0.1", port: 8001, zone: "a" },
  });
  expect(first?.request.action?.$case).toBe("renew");
  const pauseMs = ((rest.at(2)?.ms ?? 0) - (first?.ms ?? 0)) / 3;
  expect(pauseMs).toBeGreaterThan(TTL_MS / 3 - 20);
  expect(balancer.withdrawn).toBe(false);
  await lease.withdraw();
  await waitUntil("the lease is withdrawn", () => balancer.withdrawn);
  expect(spans).toEqual([]);
});

test("lease_with_the_balancer_away_is_taken_when_it_comes", async () => {
  const port = await freePort();
  const lease = await startLease(port);
  expect(lease.state).toBe("unknown");
  await waitUntil("it is known to be away", () => lease.state === "down");
  const balancer = await startBalancer(port);
  await waitUntil("it registers", () => balancer.received.length > 0);
  await waitUntil("it is held", () => lease.state === "up");
});

test("lease_that_breaks_is_taken_again", async () => {
  const port = await freePort();
  const first = await startBalancer(port);
  const lease = await startLease(port);
  await waitUntil("it is held", () => lease.state === "up");
  first.server.forceShutdown();
  await waitUntil("it is lost", () => lease.state === "down");
  const second = await startBalancer(port);
  await waitUntil("it registers again", () => second.received[0]?.request.action?.$case === "register");
});

test("lease_of_a_balancer_that_ceases_to_answer_is_not_held", async () => {
  const port = await freePort();
  const balancer = await startBalancer(port);
  const lease = await startLease(port);
  await waitUntil("it is held", () => lease.state === "up");
  balancer.silent = true;
  await waitUntil("it is lost", () => lease.state === "down");
  balancer.silent = false;
  await waitUntil("it is held again", () => lease.state === "up");
});
