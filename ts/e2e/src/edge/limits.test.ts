import { connect } from "node:net";
import { afterAll, beforeAll, expect, test } from "vitest";
import { outcomeOf } from "./outcome.js";
import { Scene } from "./scene.js";

const TENANT_BURST = 5;

let scene: Scene;
beforeAll(async () => {
  scene = await Scene.open({
    rateLimit: { total: { burst: 1000, perSecond: 1000 }, tenant: { burst: TENANT_BURST, perSecond: 1 } },
  });
});
afterAll(() => scene?.close());

const sign = (tenant: string) => scene.home.issuer.sign({ tenant });

/** Sends bytes that no HTTP client would, and returns the first line of the answer; empty when there is none. */
function raw(text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const [host = "", port] = scene.envoy.address("edge").split(":");
    const socket = connect({ host, port: Number(port) }, () => socket.write(text));
    let answer = "";
    socket.on("data", (chunk) => {
      answer += chunk;
      if (answer.includes("\r\n")) socket.destroy();
    });
    socket.on("error", reject);
    socket.on("close", () => resolve(answer.split("\r\n")[0] ?? ""));
  });
}

test("rate_limit_is_by_tenant_and_says_when_to_try_again", async () => {
  const client = scene.client("edge");
  const authorization = `Bearer ${await sign("busy")}`;
  const burst = Array.from({ length: 4 * TENANT_BURST }, () =>
    outcomeOf((options) => client.echo({ message: "x" }, options), { authorization }),
  );
  const outcomes = await Promise.all(burst);
  expect(outcomes.filter(({ code }) => code === "OK").length).toBeLessThanOrEqual(2 * TENANT_BURST);
  expect(outcomes.find(({ code }) => code !== "OK")).toMatchObject({
    code: "RESOURCE_EXHAUSTED",
    message: "too many calls, try again in 1 s",
    info: { reason: "OVERLOADED", domain: "uait.dev" },
    retryAfterMs: 1000,
  });
  const other = await outcomeOf((options) => client.echo({ message: "x" }, options), {
    authorization: `Bearer ${await sign("calm")}`,
  });
  expect(other.code).toBe("OK");
});

test("rate_limit_in_rest_is_429", async () => {
  const headers = { authorization: `Bearer ${await sign("busy-rest")}` };
  const answers = await Promise.all(
    Array.from({ length: 4 * TENANT_BURST }, () =>
      fetch(`${scene.url}/api/v1/echo`, { method: "POST", headers, body: '{"message":"x"}' }),
    ),
  );
  const refused = answers.find(({ status }) => status !== 200);
  expect([refused?.status, await refused?.json()]).toMatchObject([
    429,
    { code: 8, details: [{ reason: "OVERLOADED" }, { retryDelay: "1s" }] },
  ]);
});

test("headers_too_large_are_refused", async () => {
  const response = await fetch(`${scene.url}/api/v1/echo`, { headers: { "x-large": "a".repeat(17 * 1024) } });
  expect(response.status).toBe(431);
});

test("headers_too_large_over_http2_end_the_stream_only", async () => {
  const client = scene.client("edge");
  const refused = await outcomeOf((options) => client.echo({ message: "x" }, options), {
    "x-large": "a".repeat(17 * 1024),
  });
  expect(refused.code).not.toBe("OK");
  const next = await outcomeOf((options) => client.echo({ message: "x" }, options), {
    authorization: `Bearer ${await sign("next")}`,
  });
  expect(next.code).toBe("OK");
});

test("headers_too_many_are_refused", async () => {
  const many = Array.from({ length: 120 }, (_, index) => `x-h${index}: 1\r\n`).join("");
  expect(await raw(`GET /healthz HTTP/1.1\r\nhost: x\r\n${many}connection: close\r\n\r\n`)).toMatch(
    /^HTTP\/1.1 4(00|31)/,
  );
});

test("header_with_underscore_is_refused", async () => {
  expect(await raw("GET /healthz HTTP/1.1\r\nhost: x\r\nx_uait_tenant: evil\r\nconnection: close\r\n\r\n")).toMatch(
    /^HTTP\/1.1 400/,
  );
});

test("escaped_slash_is_refused", async () => {
  expect(await raw("GET /api%2fv1/echo HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")).toMatch(/^HTTP\/1.1 400/);
});

test("path_is_normalised_before_it_is_judged", async () => {
  const line = await raw(
    "POST /grpc.health.v1.Health/../uait.echo.v1.EchoService/Echo HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
  );
  expect(line).toMatch(/^HTTP\/1.1 401/);
});

test("smuggled_request_is_refused", async () => {
  const line = await raw(
    "POST /healthz HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
  );
  expect(line).toMatch(/^HTTP\/1.1 400/);
});
