import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { program } from "../harness/repository.js";
import { Scene } from "./scene.js";

let scene: Scene;
beforeAll(async () => {
  scene = await Scene.open();
});
afterAll(() => scene?.close());

const preflight = (origin: string, path = "/api/v1/echo") =>
  fetch(scene.url + path, {
    method: "OPTIONS",
    headers: {
      origin,
      "access-control-request-method": "POST",
      "access-control-request-headers": "authorization,x-grpc-web",
    },
  });

const grpcurl = async (...args: string[]) =>
  (
    await promisify(execFile)(program("bin", "grpcurl"), [
      "-plaintext",
      "-max-time",
      "10",
      scene.envoy.address("edge"),
      ...args,
    ])
  ).stdout;

test.for(["http://localhost:5173", "http://127.0.0.1:8080", "http://localhost"])(
  "preflight_from_%s_is_allowed",
  async (origin) => {
    for (const path of ["/uait.echo.v1.EchoService/Echo", "/api/v1/echo"]) {
      const { status, headers } = await preflight(origin, path);
      expect(status).toBe(200);
      expect(headers.get("access-control-allow-origin")).toBe(origin);
      expect(headers.get("access-control-allow-headers")).toContain("authorization");
      expect(headers.get("access-control-allow-methods")).toContain("POST");
    }
  },
);

test.for(["https://evil.example", "http://localhost.evil.example", "http://evil.example/http://localhost", "null"])(
  "preflight_from_%s_is_denied",
  async (origin) => {
    const { headers } = await preflight(origin);
    expect(headers.get("access-control-allow-origin")).toBeNull();
  },
);

test("page_may_read_status_details_and_trace", async () => {
  // A GET, because Node's fetch gives every POST an origin of its own.
  const response = await fetch(`${scene.url}/api/v1/echo/outcomes/a`, { headers: { origin: "http://localhost:5173" } });
  expect(response.status).toBe(401);
  expect(response.headers.get("access-control-allow-origin")).toBe("http://localhost:5173");
  const exposed = response.headers.get("access-control-expose-headers");
  for (const name of ["grpc-status", "grpc-message", "grpc-status-details-bin", "x-uait-trace-id"])
    expect(exposed).toContain(name);
});

test("health_needs_no_key", async () => {
  // An empty HealthCheckRequest in a gRPC-web frame; the answer begins with HealthCheckResponse{status: SERVING}.
  const response = await fetch(`${scene.url}/grpc.health.v1.Health/Check`, {
    method: "POST",
    headers: { "content-type": "application/grpc-web+proto" },
    body: Buffer.alloc(5),
  });
  expect(Buffer.from(await response.arrayBuffer()).subarray(0, 7)).toEqual(Buffer.of(0, 0, 0, 0, 2, 8, 1));
});

test("reflection_needs_no_key", async () => {
  expect(await grpcurl("list")).toContain("uait.echo.v1.EchoService");
});

test("healthz_is_envoys_own", async () => {
  expect((await fetch(`${scene.url}/healthz`)).status).toBe(200);
});

test("admin_is_not_reached_through_the_edge", async () => {
  for (const path of ["/config_dump", "/stats", "/ready", "/certs"])
    expect((await fetch(scene.url + path)).status).toBe(401);
});
