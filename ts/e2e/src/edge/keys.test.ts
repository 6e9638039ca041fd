import { afterAll, beforeAll, expect, test } from "vitest";
import { type Claims, Issuer } from "./keys.js";
import { outcomeOf } from "./outcome.js";
import { RECORDER, Scene } from "./scene.js";

let scene: Scene;
beforeAll(async () => {
  scene = await Scene.open();
});
afterAll(() => scene?.close());

const bearer = async (claims: Claims = {}): Promise<Record<string, string>> => ({
  authorization: `Bearer ${await scene.home.issuer.sign(claims)}`,
});

const echo = (headers: Record<string, string | string[]>) => {
  const client = scene.client("edge");
  return outcomeOf((options) => client.echo({ message: "x" }, options), headers);
};

const publish = (headers: Record<string, string | string[]>) => {
  const client = scene.client("edge");
  return outcomeOf((options) => client.publish({ message: "x", requestId: "a" }, options), {
    ...headers,
    "x-uait-service": RECORDER,
  });
};

test("key_valid_claims_become_identity", async () => {
  const { response } = await echo(await bearer({ tenant: "globex", sub: "user:9", scope: "echo.read memory.write" }));
  expect(response?.seen).toMatchObject({ tenant: "globex", subject: "user:9", scopes: ["echo.read", "memory.write"] });
});

test("key_missing_is_unauthenticated", async () => {
  const { code, message, info } = await echo({});
  expect({ code, message }).toEqual({
    code: "UNAUTHENTICATED",
    message: "the key is missing, malformed, expired or not for this mesh",
  });
  expect(info).toMatchObject({ reason: "KEY_INVALID", domain: "uait.dev" });
});

test.for([
  ["expired", { lifetime: -60 }],
  ["of_foreign_issuer", { issuer: "someone" }],
  ["for_other_audience", { audience: "someone" }],
] as [string, Claims][])("key_%s_is_unauthenticated", async ([, claims]) => {
  expect(await echo(await bearer(claims))).toMatchObject({ code: "UNAUTHENTICATED", info: { reason: "KEY_INVALID" } });
});

test("key_signed_by_stranger_is_unauthenticated", async () => {
  const stranger = await Issuer.create();
  expect(await echo({ authorization: `Bearer ${await stranger.sign()}` })).toMatchObject({ code: "UNAUTHENTICATED" });
});

test("key_altered_is_unauthenticated", async () => {
  const [head, , signature] = (await scene.home.issuer.sign({ tenant: "acme" })).split(".");
  const [, body] = (await scene.home.issuer.sign({ tenant: "globex" })).split(".");
  expect(await echo({ authorization: `Bearer ${head}.${body}.${signature}` })).toMatchObject({
    code: "UNAUTHENTICATED",
  });
});

test("key_unsigned_is_unauthenticated", async () => {
  const [, body] = (await scene.home.issuer.sign()).split(".");
  const head = Buffer.from(JSON.stringify({ alg: "none" })).toString("base64url");
  expect(await echo({ authorization: `Bearer ${head}.${body}.` })).toMatchObject({ code: "UNAUTHENTICATED" });
});

test("scope_read_opens_what_has_no_side_effects", async () => {
  expect(await echo(await bearer({ scope: "echo.read" }))).toMatchObject({ code: "OK" });
  expect(await publish(await bearer({ scope: "echo.read" }))).toMatchObject({
    code: "PERMISSION_DENIED",
    message: "the key lacks the scope echo.write",
    info: { reason: "SCOPE_MISSING", domain: "uait.dev", metadata: { scope: "echo.write" } },
  });
});

test.for(["echo.write", "mesh.admin", "other.read echo.write"])(
  "scope_%s_opens_everything_of_the_service",
  async (scope) => {
    expect(await echo(await bearer({ scope }))).toMatchObject({ code: "OK" });
    expect(await publish(await bearer({ scope }))).toMatchObject({ code: "OK" });
  },
);

test.for(["", "other.write", "echo.readwrite", "xecho.read", "echo.*", "echo_read", "ECHO.READ", "echo"])(
  "scope_%j_opens_nothing",
  async (scope) => {
    expect(await echo(await bearer({ scope }))).toMatchObject({
      code: "PERMISSION_DENIED",
      info: { reason: "SCOPE_MISSING", metadata: { scope: "echo.read" } },
    });
  },
);

test("identity_headers_from_outside_are_removed", async () => {
  const forged = {
    "X-UAIT-Tenant": ["evil", "evil2"],
    "x-uait-subject": "root",
    "X-Uait-Scopes": "mesh.admin",
    "x-envoy-retry-on": "5xx",
    "x-envoy-original-path": "/evil",
  };
  await publish({ ...(await bearer({ tenant: "acme", sub: "user:7", scope: "echo.write" })), ...forged });
  const call = scene.recorder.of("Publish").at(-1);
  expect(call?.metadata.getAll("x-uait-tenant")).toEqual(["acme"]);
  expect(call?.metadata.getAll("x-uait-subject")).toEqual(["user:7"]);
  expect(call?.metadata.getAll("x-uait-scopes")).toEqual(["echo.write"]);
  for (const name of ["x-envoy-retry-on", "x-envoy-original-path", "authorization"])
    expect(call?.metadata.has(name)).toBe(false);
});

test("identity_headers_without_key_open_nothing", async () => {
  expect(await echo({ "x-uait-tenant": "acme", "x-uait-scopes": "mesh.admin" })).toMatchObject({
    code: "UNAUTHENTICATED",
  });
});

test("tenant_missing_in_key_stays_missing", async () => {
  const headers = { ...(await bearer({ tenant: "" })), "x-uait-tenant": "evil" };
  expect(await echo(headers)).toMatchObject({ code: "UNAUTHENTICATED", info: { reason: "TENANT_MISSING" } });
});

test("method_unknown_with_key_is_unimplemented", async () => {
  const response = await fetch(`${scene.url}/uait.nowhere.v1.NoService/Do`, {
    method: "POST",
    headers: await bearer(),
  });
  expect([response.status, await response.json()]).toMatchObject([
    404,
    { code: 12, details: [{ reason: "NOT_IMPLEMENTED" }] },
  ]);
});

test("service_header_unknown_reaches_nobody", async () => {
  const headers = { ...(await bearer()), "x-uait-service": "echo-cobol" };
  expect(await echo(headers)).toMatchObject({ code: "UNIMPLEMENTED", info: { reason: "NOT_IMPLEMENTED" } });
});
