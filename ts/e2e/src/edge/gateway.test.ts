import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { words } from "@uait/gateway/testing";
import { Health } from "@uait/gen/uait/gateway/v1/monitoring.js";
import type { CallOptions } from "nice-grpc";
import OpenAI, { AuthenticationError, PermissionDeniedError } from "openai";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { until } from "../harness/network.js";
import { askByOpenAiPython } from "../harness/openai-python.js";
import { GatewayScene } from "./gateway-scene.js";
import { Issuer } from "./keys.js";
import { outcomeOf } from "./outcome.js";

let scene: GatewayScene;
/** What the development key opens: everything. */
let admin: string;
beforeAll(async () => {
  scene = await GatewayScene.open();
  admin = await scene.home.issuer.sign({ tenant: "acme", sub: "dev", scope: "mesh.admin" });
});
afterAll(() => scene?.close());
beforeEach(() => {
  scene.mesh.generate = () => words("hello", " there");
});

/** How long Envoy may take a key after it was revoked, in milliseconds. */
const REVOKED_WITHIN_MS = 5000;

const bearer = (token: string) => ({ authorization: `Bearer ${token}` });
const listed = (token?: string) =>
  outcomeOf((options) => scene.auth.listKeys({}, options), token === undefined ? {} : bearer(token));
let number = 0;
async function issue(...scopes: string[]) {
  const request = { requestId: `issue-${number++}`, displayName: "for a test", subject: "app", scopes };
  const { response, ...refused } = await outcomeOf((options) => scene.auth.issueKey(request, options), bearer(admin));
  if (response?.key === undefined) throw new Error(JSON.stringify(refused));
  return { keyId: response.key.keyId, token: response.token };
}
// Issued means that Envoy has been told; what is left is the moment in which it takes it in.
async function issued(...scopes: string[]) {
  const made = await issue(...scopes);
  const opens = async () => (await listed(made.token)).code !== "UNAUTHENTICATED";
  await until(opens, { what: "the key opens", timeoutMs: 20_000 });
  return made;
}
const revoke = (keyId: string) =>
  outcomeOf(
    (options) => scene.auth.revokeKey({ requestId: `revoke-${number++}`, keyId, reason: "test" }, options),
    bearer(admin),
  );
const openai = (token: string) => new OpenAI({ apiKey: token, baseURL: `${scene.url}/v1`, maxRetries: 0 });
const messages = [{ role: "user" as const, content: "Hello?" }];

describe("before the gateway is there", () => {
  test("development_key_is_taken_and_the_gateway_said_to_be_away", async () => {
    expect(await listed(admin)).toMatchObject({ code: "UNAVAILABLE", info: { reason: "DEPENDENCY_UNAVAILABLE" } });
    const error = await openai(admin)
      .models.list()
      .catch((cause: unknown) => cause);
    expect(error).toMatchObject({ status: 503, code: "dependency_unavailable" });
  });

  test("gateway_that_comes_later_is_found", async () => {
    await scene.startGateway();
    await until(async () => (await listed(admin)).code === "OK", { what: "the gateway", timeoutMs: 20_000 });
  });
});

describe("key", () => {
  test("key_issued_opens_what_its_scopes_name_for_its_tenant_and_nothing_else", async () => {
    const { token } = await issued("gateway.read", "llm-router.write");
    expect(await listed(token)).toMatchObject({ code: "OK" });
    const request = { requestId: "x", displayName: "x", subject: "x", scopes: ["gateway.read"] };
    expect(await outcomeOf((options) => scene.auth.issueKey(request, options), bearer(token))).toMatchObject({
      code: "PERMISSION_DENIED",
      info: { reason: "SCOPE_MISSING", metadata: { scope: "gateway.write" } },
    });
    await openai(token).chat.completions.create({ model: "m", messages });
    const metadata = scene.mesh.contexts.at(-1)?.metadata;
    expect(metadata?.get("x-uait-tenant")).toBe("acme");
    expect(metadata?.get("x-uait-subject")).toBe("app");
    expect(metadata?.get("x-uait-scopes")).toBe("gateway.read llm-router.write");
    expect(metadata?.has("authorization")).toBe(false);
  });

  test("key_issued_never_has_more_than_its_issuer", async () => {
    const { token } = await issued("gateway.write", "memory.read");
    const request = { requestId: "more", displayName: "x", subject: "x", scopes: ["memory.write"] };
    expect(await outcomeOf((options) => scene.auth.issueKey(request, options), bearer(token))).toMatchObject({
      code: "PERMISSION_DENIED",
      info: { reason: "SCOPE_MISSING", domain: "uait.dev", metadata: { scope: "memory.write" } },
    });
  });

  test("key_revoked_is_refused_within_five_seconds_the_only_one_too", async () => {
    for (const { keyId } of (await listed(admin)).response?.keys ?? []) await revoke(keyId);
    const { keyId, token } = await issued("gateway.read");
    expect(await revoke(keyId)).toMatchObject({ code: "OK" });
    const startMs = performance.now();
    await until(async () => (await listed(token)).code === "UNAUTHENTICATED", {
      what: "the key is refused",
      timeoutMs: 30_000,
    });
    expect(performance.now() - startMs).toBeLessThan(REVOKED_WITHIN_MS);
    expect(await listed(token)).toMatchObject({ code: "UNAUTHENTICATED", info: { reason: "KEY_INVALID" } });
    expect(await listed(admin)).toMatchObject({ code: "OK" });
  });

  test("key_foreign_or_altered_or_missing_is_refused", async () => {
    const stranger = await Issuer.create("none");
    const { token } = await issued("gateway.read");
    const [head, , signature] = token.split(".");
    const [, body] = (await stranger.sign({ issuer: "uait-gateway", scope: "mesh.admin" })).split(".");
    const foreign = [
      await stranger.sign({ issuer: "uait-gateway", scope: "mesh.admin" }),
      await scene.home.issuer.sign({ issuer: "uait-gateway", scope: "mesh.admin" }),
      `${head}.${body}.${signature}`,
      undefined,
    ];
    for (const each of foreign)
      expect(await listed(each)).toMatchObject({ code: "UNAUTHENTICATED", info: { reason: "KEY_INVALID" } });
  });

  test("keys_outlive_the_gateway_while_it_is_away_and_when_it_is_back", async () => {
    const { token } = await issued("llm-router.write");
    await scene.stopGateway();
    // Long enough for Envoy to have asked and got nothing, twice.
    const failures = async () =>
      (await scene.envoy.stats("jwks_fetch_failed")).get("http.edge.jwt_authn.jwks_fetch_failed");
    const before = (await failures()) ?? 0;
    await until(async () => ((await failures()) ?? 0) >= before + 2, { what: "Envoy asked", timeoutMs: 20_000 });
    expect(await listed(token)).toMatchObject({ code: "PERMISSION_DENIED" });
    await scene.startGateway();
    await until(
      async () =>
        (await openai(token)
          .models.list()
          .catch(() => undefined)) !== undefined,
      {
        what: "the gateway answers",
        timeoutMs: 20_000,
      },
    );
    expect((await listed(admin)).response?.keys.some(({ scopes }) => scopes.includes("llm-router.write"))).toBe(true);
  });

  test("jwks_is_open_and_holds_public_halves_only", async () => {
    const response = await fetch(`${scene.url}/.well-known/jwks.json`);
    expect(response.status).toBe(200);
    const { keys } = (await response.json()) as { keys: Record<string, string>[] };
    expect(keys.length).toBeGreaterThan(1);
    for (const key of keys) expect(Object.keys(key).sort()).toEqual(["alg", "crv", "kid", "kty", "use", "x", "y"]);
  });
});

describe("monitoring", () => {
  const asked = <Response>(call: (options: CallOptions) => Promise<Response>) => outcomeOf(call, bearer(admin));

  test("health_is_what_envoy_and_the_services_say", async () => {
    await openai(admin).chat.completions.create({ model: "m", messages });
    const health = async () => (await asked((options) => scene.monitoring.getMeshHealth({}, options))).response;
    // Envoy merges its histograms every five seconds.
    const response = await until(
      async () => {
        const found = await health();
        return found?.services.some(({ service, p99 }) => service === "llm-router" && p99 !== undefined) && found;
      },
      { what: "latencies", timeoutMs: 20_000, everyMs: 500 },
    );
    const of = (name: string) => response.services.find(({ service }) => service === name);
    expect(of("gateway")).toMatchObject({ health: Health.HEALTH_UP, endpoints: 1, replicas: 1, troubles: [] });
    expect(of("llm-router")).toMatchObject({ health: Health.HEALTH_UP, endpoints: 1, errorRate: 0 });
    expect(of("llm-router")?.rps).toBeGreaterThan(0);
    // The catalogue's other services do not run here.
    expect(of("echo-go")).toMatchObject({ health: Health.HEALTH_DOWN, endpoints: 0, rps: 0, p50: undefined });
    expect(response.infrastructure).toEqual([
      { name: "envoy", health: Health.HEALTH_UP, detail: "" },
      { name: "nats", health: Health.HEALTH_DOWN, detail: "it does not answer" },
    ]);
    expect(response.health).toBe(Health.HEALTH_DOWN);
  });

  test("breakers_have_envoys_limits_and_what_is_under_way", async () => {
    const { response } = await asked((options) => scene.monitoring.listBreakers({ service: "llm-router" }, options));
    expect(response?.breakers).toMatchObject([
      {
        service: "llm-router",
        open: false,
        limits: [
          { name: "max_connections", limit: 1024n, used: 1n, refused: 0n },
          { name: "max_pending_requests", limit: 16_384n, used: 0n },
          { name: "max_requests", limit: 16_384n, used: 0n },
        ],
        ejections: [],
      },
    ]);
  });

  test("what_cannot_be_done_says_why", async () => {
    const reset = { requestId: "reset", service: "llm-router" };
    const outcomes = [
      await asked((options) => scene.monitoring.resetBreaker(reset, options)),
      await asked((options) => scene.monitoring.getTopology({}, options)),
    ];
    for (const outcome of outcomes)
      expect(outcome).toMatchObject({ code: "UNIMPLEMENTED", info: { reason: "NOT_IMPLEMENTED" } });
  });
});

describe("openai at the edge", () => {
  test("completion_streams_through_envoy_as_it_is_made", async () => {
    const { token } = await issued("llm-router.write");
    let release = (): void => undefined;
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    scene.mesh.generate = async function* () {
      yield { event: { $case: "delta", value: { text: "first" } } };
      await held;
      yield* words("last");
    };
    const stream = await openai(token).chat.completions.create({ model: "m", messages, stream: true });
    const texts: string[] = [];
    for await (const { choices } of stream) {
      const text = choices[0]?.delta.content ?? "";
      if (text === "") continue;
      texts.push(text);
      // Had Envoy or the gateway kept the first piece until the end, this would never be reached.
      release();
    }
    expect(texts).toEqual(["first", "last"]);
  });

  test("caller_that_goes_ends_the_routers_call", async () => {
    const { token } = await issued("llm-router.write");
    let ended = false;
    scene.mesh.generate = async function* (_, { signal }) {
      signal.addEventListener("abort", () => {
        ended = true;
      });
      yield { event: { $case: "delta", value: { text: "a" } } };
      await new Promise((resolve) => signal.addEventListener("abort", resolve));
    };
    const stream = await openai(token).chat.completions.create({ model: "m", messages, stream: true });
    for await (const { choices } of stream) if (choices[0]?.delta.content === "a") break;
    await until(() => ended, { what: "the router's call ended", timeoutMs: 20_000 });
  });

  test("refusals_of_envoy_have_openais_form", async () => {
    const missing = await openai("nonsense")
      .models.list()
      .catch((cause: unknown) => cause);
    expect(missing).toBeInstanceOf(AuthenticationError);
    expect(missing).toMatchObject({ status: 401, code: "invalid_api_key", type: "authentication_error" });
    const { token } = await issued("gateway.read");
    const closed = await openai(token)
      .chat.completions.create({ model: "m", messages })
      .catch((cause: unknown) => cause);
    expect(closed).toBeInstanceOf(PermissionDeniedError);
    expect(closed).toMatchObject({
      status: 403,
      code: "scope_missing",
      message: expect.stringContaining("llm-router.write"),
    });
    const large = await openai(admin)
      .chat.completions.create({ model: "m", messages: [{ role: "user", content: "x".repeat(7_000_000) }] })
      .catch((cause: unknown) => cause);
    expect(large).toMatchObject({ status: 413, type: "invalid_request_error" });
  });

  test("router_key_does_not_open_the_orchestrator", async () => {
    const { token } = await issued("llm-router.write");
    const asked = openai(token).chat.completions.create({ model: "uait-orchestrator", messages });
    await expect(asked).rejects.toMatchObject({ status: 403, code: "scope_missing" });
    const { models } = { models: await openai(token).models.list() };
    expect(models.data.map(({ id }) => id)).not.toContain("uait-orchestrator");
  });

  test("identity_headers_from_outside_change_nothing", async () => {
    const { token } = await issued("llm-router.write");
    const forged = new OpenAI({
      apiKey: token,
      baseURL: `${scene.url}/v1`,
      defaultHeaders: { "x-uait-tenant": "globex", "x-uait-scopes": "mesh.admin" },
    });
    await forged.chat.completions.create({ model: "m", messages });
    expect(scene.mesh.contexts.at(-1)?.metadata.get("x-uait-tenant")).toBe("acme");
  });

  test("curl_gets_json_and_server_sent_events", async () => {
    const curl = async (body: object) => {
      const args = ["-sS", "-N", "-H", `authorization: Bearer ${admin}`, "-H", "content-type: application/json"];
      const { stdout } = await promisify(execFile)("curl", [
        ...args,
        "-d",
        JSON.stringify({ model: "m", messages, ...body }),
        `${scene.url}/v1/chat/completions`,
      ]);
      return stdout;
    };
    expect(JSON.parse(await curl({}))).toMatchObject({ choices: [{ message: { content: "hello there" } }] });
    expect((await curl({ stream: true })).trimEnd().split("\n").at(-1)).toBe("data: [DONE]");
  });

  test("orchestrator_answers_through_everything", async () => {
    const answer = await openai(admin).chat.completions.create({ model: "uait-orchestrator", messages });
    expect(answer.choices[0]?.message.content).toBe("42");
  });

  test("openais_python_package_works_unchanged", async () => {
    expect(await askByOpenAiPython(`${scene.url}/v1`, "m", admin)).toEqual({
      models: ["cloud/gpt-x", "smollm2-135m-instruct", "uait-orchestrator"],
      whole: "hello there",
      finish: "stop",
      total: 10,
      streamed: "hello there",
      stream_total: 10,
      orchestrated: "42",
      refusal: { class: "AuthenticationError", status: 401, code: "invalid_api_key", type: "authentication_error" },
    });
  }, 360_000);
});
