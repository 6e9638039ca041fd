import { afterAll, beforeAll, expect, test } from "vitest";
import { RECORDER, Scene } from "./scene.js";

let scene: Scene;
let key: string;
beforeAll(async () => {
  scene = await Scene.open();
  key = await scene.home.issuer.sign();
});
afterAll(() => scene?.close());

interface Answer {
  readonly status: number;
  readonly type: string | null;
  readonly headers: Headers;
  // biome-ignore lint/suspicious/noExplicitAny: the JSON is what the tests look into
  readonly body: any;
}

async function rest(
  path: string,
  init: { body?: unknown; text?: string; headers?: Record<string, string> } = {},
): Promise<Answer> {
  const text = init.text ?? (init.body === undefined ? undefined : JSON.stringify(init.body));
  const response = await fetch(scene.url + path, {
    method: text === undefined ? "GET" : "POST",
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json", ...init.headers },
    ...(text === undefined ? {} : { body: text }),
  });
  return {
    status: response.status,
    type: response.headers.get("content-type"),
    headers: response.headers,
    body: await response.json(),
  };
}

test("rest_post_is_transcoded", async () => {
  const { status, body } = await rest("/api/v1/echo", { body: { message: "Grüße, 世界", payload: "AAEC" } });
  expect(status).toBe(200);
  expect(body).toMatchObject({ message: "Grüße, 世界", payload: "AAEC", seen: { tenant: "acme", subject: "user:7" } });
});

test("rest_get_takes_fields_from_the_path", async () => {
  await rest("/api/v1/echo", { body: { message: "x", callId: "from-path" } });
  const { status, body } = await rest("/api/v1/echo/outcomes/from-path");
  expect([status, body.code]).toEqual([200, "OK"]);
});

test("rest_service_error_is_status_with_details", async () => {
  const { status, type, body } = await rest("/api/v1/echo", {
    body: { message: "x", behaviour: { missing: "atlantis" } },
  });
  expect([status, type]).toEqual([404, "application/json"]);
  expect(body).toEqual({
    code: 5,
    message: 'no echo named "atlantis"',
    details: [
      {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        reason: "RESOURCE_NOT_FOUND",
        domain: "uait.dev",
        metadata: { resource: "echo", name: "atlantis" },
      },
    ],
  });
});

test("rest_invalid_field_is_named", async () => {
  const { status, body } = await rest("/api/v1/echo", { body: { message: "" } });
  expect([status, body.code]).toEqual([400, 3]);
  expect(body.details).toContainEqual(
    expect.objectContaining({
      "@type": "type.googleapis.com/google.rpc.BadRequest",
      fieldViolations: [expect.objectContaining({ field: "message", reason: "string.min_len" })],
    }),
  );
});

test("rest_key_missing_is_401_with_details", async () => {
  const response = await fetch(`${scene.url}/api/v1/echo`, { method: "POST", body: "{}" });
  expect([response.status, response.headers.get("content-type")]).toEqual([401, "application/json"]);
  expect(await response.json()).toEqual({
    code: 16,
    message: "the key is missing, malformed, expired or not for this mesh",
    details: [{ "@type": "type.googleapis.com/google.rpc.ErrorInfo", reason: "KEY_INVALID", domain: "uait.dev" }],
  });
});

test("rest_audience_wrong_is_401", async () => {
  const authorization = `Bearer ${await scene.home.issuer.sign({ audience: "someone" })}`;
  const { status, body } = await rest("/api/v1/echo", { body: { message: "x" }, headers: { authorization } });
  expect([status, body.code]).toEqual([401, 16]);
});

test("rest_scope_missing_is_403_with_the_scope", async () => {
  const authorization = `Bearer ${await scene.home.issuer.sign({ scope: "echo.read" })}`;
  const { status, body } = await rest("/api/v1/echo:publish", {
    body: { message: "x", requestId: "a" },
    headers: { authorization },
  });
  expect([status, body]).toMatchObject([
    403,
    {
      code: 7,
      message: "the key lacks the scope echo.write",
      details: [{ reason: "SCOPE_MISSING", metadata: { scope: "echo.write" } }],
    },
  ]);
});

test("rest_path_unknown_is_404_with_details", async () => {
  const { status, body } = await rest("/api/v1/nothing");
  expect([status, body]).toMatchObject([
    404,
    { code: 12, details: [{ reason: "NOT_IMPLEMENTED", metadata: { what: "method" } }] },
  ]);
});

test("rest_malformed_json_is_400_with_details", async () => {
  const { status, body } = await rest("/api/v1/echo", { text: '{"message":' });
  expect([status, body]).toMatchObject([400, { code: 3, details: [{ reason: "FIELD_INVALID" }] }]);
});

test("rest_unknown_query_parameter_is_400", async () => {
  const { status, body } = await rest("/api/v1/echo/outcomes/a?colour=red");
  expect([status, body.code]).toEqual([400, 3]);
  expect(body.message).toContain("colour");
});

test("rest_body_near_the_message_limit_passes", async () => {
  const { status, body } = await rest("/api/v1/echo", { body: { message: "x", payload: "A".repeat(4_000_000) } });
  expect([status, body.payload?.length]).toEqual([200, 4_000_000]);
});

test("rest_body_over_the_limit_is_413", async () => {
  const { status, body } = await rest("/api/v1/echo", { body: { message: "x", payload: "A".repeat(7_000_000) } });
  expect([status, body]).toMatchObject([
    413,
    { code: 8, details: [{ reason: "MESSAGE_TOO_LARGE", metadata: { limit_bytes: "6291456" } }] },
  ]);
});

test("rest_service_header_chooses_the_implementation", async () => {
  const before = scene.recorder.of("Echo").length;
  const { status } = await rest("/api/v1/echo", { body: { message: "x" }, headers: { "x-uait-service": RECORDER } });
  expect([status, scene.recorder.of("Echo").length - before]).toEqual([200, 1]);
});

test("rest_answer_may_be_read_by_a_page_and_hides_load", async () => {
  for (const headers of [{ authorization: `Bearer ${key}` }, { authorization: "" }]) {
    const response = await fetch(`${scene.url}/api/v1/echo/outcomes/from-path`, {
      headers: { ...headers, origin: "http://localhost:5173" },
    });
    expect(response.headers.get("access-control-allow-origin")).toBe("http://localhost:5173");
    expect(response.headers.has("endpoint-load-metrics")).toBe(false);
  }
});

test("rest_answer_names_its_trace", async () => {
  const traceparent = "00-7bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
  const { headers, body } = await rest("/api/v1/echo", { body: { message: "x" }, headers: { traceparent } });
  expect(headers.get("x-uait-trace-id")).toBe("7bf92f3577b34da6a3ce929d0e0e4736");
  expect(body.seen.traceId).toBe("7bf92f3577b34da6a3ce929d0e0e4736");
});
