import { readFile, rm } from "node:fs/promises";
import { setTimeout as pause } from "node:timers/promises";
import { ChannelCredentials, Metadata } from "nice-grpc";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { echoAt } from "../harness/echo.js";
import { until } from "../harness/network.js";
import { Envoy } from "./envoy.js";
import { outcomeOf } from "./outcome.js";
import { Recorder, unavailable } from "./recorder.js";
import { makeHome } from "./rendered.js";
import { backend, REAL, RECORDER, Scene } from "./scene.js";

let scene: Scene;
beforeAll(async () => {
  scene = await Scene.open();
});
afterAll(() => scene?.close());
afterEach(() => {
  scene.recorder.behave = () => {};
});

const TENANT = { "x-uait-tenant": "acme" };
const TO_RECORDER = { ...TENANT, "x-uait-service": RECORDER };
async function* one<T>(item: T): AsyncGenerator<T> {
  yield item;
}

const minutes = (count: number) => ({ seconds: BigInt(60 * count), nanos: 0 });

test("identity_passes_between_services", async () => {
  const client = scene.client("mesh");
  const headers = { "x-uait-tenant": "globex", "x-uait-subject": "user:9", "x-uait-scopes": "a.read b.write" };
  const { response } = await outcomeOf((options) => client.echo({ message: "x" }, options), headers);
  expect(response?.seen).toMatchObject({ tenant: "globex", subject: "user:9", scopes: ["a.read", "b.write"] });
});

test("service_without_process_is_unavailable_with_its_name", async () => {
  const other = await Scene.open();
  try {
    await other.recorder.stop();
    const client = other.client("mesh");
    expect(await outcomeOf((options) => client.echo({ message: "x" }, options), TO_RECORDER)).toMatchObject({
      code: "UNAVAILABLE",
      message: "echo-go cannot be reached",
      info: { reason: "DEPENDENCY_UNAVAILABLE", domain: "uait.dev", metadata: { dependency: "echo-go" } },
    });
  } finally {
    await other.close();
  }
});

test.for(["edge", "mesh"] as const)("deadline_through_%s_ends_both_ends_with_deadline_exceeded", async (listener) => {
  const client = scene.client(listener);
  const authorization = `Bearer ${await scene.home.issuer.sign()}`;
  const headers = { ...TENANT, authorization };
  for (let round = 0; round < 5; round++) {
    const callId = `deadline-${listener}-${round}`;
    const started = performance.now();
    const slow = await outcomeOf((options) => {
      const signal = AbortSignal.timeout(10_000);
      options.metadata?.set("grpc-timeout", "200m");
      return client.echo({ message: "x", callId, behaviour: { delay: minutes(1) } }, { ...options, signal });
    }, headers);
    expect(slow.code).toBe("DEADLINE_EXCEEDED");
    expect(performance.now() - started).toBeLessThan(2_000);
    const seen = await outcomeOf((options) => client.awaitOutcome({ callId }, options), headers);
    expect(seen.response?.code).toBe("DEADLINE_EXCEEDED");
  }
});

test("unavailable_is_retried_for_idempotent_methods_only", async () => {
  const client = scene.client("mesh");
  scene.recorder.behave = unavailable;
  const call = async (method: "Echo" | "Publish" | "Collect") => {
    const before = scene.recorder.of(method).length;
    const outcome = await outcomeOf<unknown>((options) => {
      if (method === "Echo") return client.echo({ message: "x" }, options);
      if (method === "Publish") return client.publish({ message: "x", requestId: "a" }, options);
      return client.collect(one({ message: "x" }), options);
    }, TO_RECORDER);
    return [outcome.code, scene.recorder.of(method).length - before];
  };
  expect(await call("Echo")).toEqual(["UNAVAILABLE", 3]);
  expect(await call("Publish")).toEqual(["UNAVAILABLE", 3]);
  expect(await call("Collect")).toEqual(["UNAVAILABLE", 1]);
});

test("retry_that_succeeds_hides_the_failure", async () => {
  const client = scene.client("mesh");
  const before = scene.recorder.of("Echo").length;
  scene.recorder.behave = (context) => {
    if (scene.recorder.of("Echo").length === before + 1) unavailable(context);
  };
  const { code } = await outcomeOf((options) => client.echo({ message: "x" }, options), TO_RECORDER);
  expect([code, scene.recorder.of("Echo").length - before]).toEqual(["OK", 2]);
});

test("retries_stay_within_the_budget", async () => {
  const client = scene.client("mesh");
  scene.recorder.behave = unavailable;
  const calls = 200;
  const before = scene.recorder.of("Echo").length;
  await Promise.all(
    Array.from({ length: calls }, () => outcomeOf((options) => client.echo({ message: "x" }, options), TO_RECORDER)),
  );
  const attempts = scene.recorder.of("Echo").length - before;
  // Without a budget each call would be tried three times.
  expect(attempts).toBeGreaterThan(calls);
  expect(attempts).toBeLessThan(2 * calls);
});

test("replica_killed_under_load_costs_no_repeatable_call", async () => {
  const home = await makeHome();
  const replicas = [await Recorder.start(), await Recorder.start()];
  const envoy = await Envoy.start(home, { backends: [backend(REAL, ...replicas.map(({ address }) => address))] });
  const { client, close } = echoAt(envoy.address("mesh"));
  const codes: string[] = [];
  let killed = 0;
  const caller = async (): Promise<void> => {
    while (killed === 0 || codes.length < killed + 500)
      codes.push((await outcomeOf((options) => client.echo({ message: "x" }, options), TENANT)).code);
  };
  try {
    const callers = Promise.all(Array.from({ length: 16 }, caller));
    await until(() => replicas.every(({ calls }) => calls.length > 50), { what: "both are called", timeoutMs: 10_000 });
    await replicas[0]?.stop();
    killed = codes.length;
    await callers;
    expect(codes.filter((code) => code !== "OK")).toEqual([]);
  } finally {
    close();
    await envoy.stop();
    for (const replica of replicas) await replica.stop();
    await rm(home.folder, { recursive: true, force: true });
  }
});

test("stream_idle_for_ten_seconds_lives", async () => {
  const client = scene.client("mesh");
  const answers = client.converse(
    (async function* () {
      yield { message: "before" };
      // Not a wait for something to happen: the silence is what is tested.
      await pause(10_000);
      yield { message: "after" };
    })(),
    { metadata: Metadata(TENANT) },
  );
  const messages: string[] = [];
  for await (const { message } of answers) messages.push(message);
  expect(messages).toEqual(["before", "after"]);
});

test("access_log_names_the_failed_call_and_its_trace", async () => {
  const client = scene.client("mesh");
  const traceparent = "00-8bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
  const request = { message: "x", behaviour: { failure: { $case: "missing" as const, value: "y" }, trailers: {} } };
  await outcomeOf((options) => client.echo(request, options), { ...TENANT, traceparent });
  expect(await scene.envoy.logged(({ trace_id }) => trace_id === "8bf92f3577b34da6a3ce929d0e0e4736")).toMatchObject({
    service: "envoy-mesh",
    path: "/uait.echo.v1.EchoService/Echo",
    grpc_status: "NOT_FOUND",
    tenant: "acme",
    cluster: "echo-ts",
    attempts: 1,
  });
});

test("access_log_of_the_edge_has_every_call", async () => {
  await fetch(`${scene.url}/api/v1/echo/outcomes/logged?callId=hunter2`);
  const entry = await scene.envoy.logged(
    ({ service, path }) => service === "envoy-edge" && path === "/api/v1/echo/outcomes/logged",
  );
  expect(entry).toMatchObject({
    status: 401,
    details: "jwt_authn_access_denied{Jwt_is_missing}",
    msg: "access",
    level: "info",
  });
  expect(entry["trace_id"]).toMatch(/^[0-9a-f]{32}$/);
  expect(JSON.stringify(scene.envoy.log)).not.toContain("hunter2");
});

test("mutual_tls_lets_in_nobody_without_a_certificate", async () => {
  const secure = await Scene.open({ mutualTls: true });
  try {
    const { tls } = secure.home;
    const [ca, cert, key] = await Promise.all([tls.ca, tls.service, tls.serviceKey].map((file) => readFile(file)));
    const stranger = secure.client("mesh", ChannelCredentials.createSsl(ca));
    const plain = secure.client("mesh");
    const member = secure.client("mesh", ChannelCredentials.createSsl(ca, key, cert));
    for (const client of [stranger, plain])
      expect((await outcomeOf((options) => client.echo({ message: "x" }, options), TENANT)).code).toBe("UNAVAILABLE");
    expect((await outcomeOf((options) => member.echo({ message: "x" }, options), TENANT)).response?.message).toBe("x");
  } finally {
    await secure.close();
  }
});
