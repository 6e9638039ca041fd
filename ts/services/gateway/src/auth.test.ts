import { AuthServiceDefinition, KeyState } from "@uait/gen/uait/gateway/v1/auth.js";
import { MonitoringServiceDefinition } from "@uait/gen/uait/gateway/v1/monitoring.js";
import { type RunningServer, Status } from "@uait/kit";
import { failureOf, NatsServer, waitUntil } from "@uait/kit/testing";
import { type Channel, type Client, createChannel, createClient, Metadata } from "nice-grpc";
import { afterAll, beforeAll, expect, test } from "vitest";
import { testGateway } from "./testing/gateway.js";

let nats: NatsServer;
const servers: RunningServer[] = [];
const channels: Channel[] = [];
let auth: Client<typeof AuthServiceDefinition>;
/** Of a second replica. */
let other: Client<typeof AuthServiceDefinition>;

beforeAll(async () => {
  nats = await NatsServer.start();
  for (let index = 0; index < 2; index++) {
    const server = await testGateway({ UAIT_NATS_URL: nats.url });
    servers.push(server);
    channels.push(createChannel(server.address));
  }
  const [one, two] = channels.map((channel) => createClient(AuthServiceDefinition, channel));
  if (one === undefined || two === undefined) throw new Error("no replicas");
  [auth, other] = [one, two];
});
afterAll(async () => {
  for (const channel of channels) channel.close();
  for (const server of servers) await server.drain();
  await nats.stop();
});

const as = (tenant: string, scopes = "mesh.admin") => ({
  metadata: Metadata({ "x-uait-tenant": tenant, "x-uait-subject": "user:1", "x-uait-scopes": scopes }),
});
const request = (requestId: string) => ({
  requestId,
  displayName: "for the app",
  subject: "app",
  scopes: ["memory.read"],
});
const jwks = async (index = 0) =>
  (await (await fetch(`http://${servers[index]?.httpAddress}/.well-known/jwks.json`)).json()) as {
    keys: { kid: string }[];
  };

test("key_issued_at_one_replica_is_listed_published_and_revoked_at_the_other", async () => {
  const { key, token } = await auth.issueKey(request("r1"), as("acme"));
  expect(token.split(".").length).toBe(3);
  await waitUntil("the other knows it", async () => (await jwks(1)).keys.some(({ kid }) => kid === `${key?.keyId}.0`));
  const { keys } = await other.listKeys({ state: KeyState.KEY_STATE_ACTIVE }, as("acme"));
  expect(keys).toEqual([key]);
  await other.revokeKey({ requestId: "r2", keyId: key?.keyId ?? "", reason: "lost" }, as("acme"));
  await waitUntil("the first knows it", async () => (await jwks()).keys.every(({ kid }) => kid === "none"));
  expect((await auth.listKeys({}, as("acme"))).keys).toMatchObject([{ state: KeyState.KEY_STATE_REVOKED }]);
});

test("requests_at_two_replicas_at_once_issue_one_key", async () => {
  const both = await Promise.all([auth, other].map((each) => each.issueKey(request("same"), as("twins"))));
  expect(both[0]?.key).toEqual(both[1]?.key);
  await waitUntil("both tokens have their keys", async () => {
    const kids = (await jwks()).keys.map(({ kid }) => kid);
    return [0, 1].every((index) => kids.includes(`${both[0]?.key?.keyId}.${index}`));
  });
});

test("list_is_newest_first_in_pages_of_the_tenants_own", async () => {
  for (let index = 0; index < 5; index++) {
    await auth.issueKey({ ...request(`p${index}`), displayName: `k${index}` }, as("pager"));
    const now = Date.now();
    await waitUntil("a millisecond has passed", () => Date.now() > now);
  }
  const first = await auth.listKeys({ pageSize: 3 }, as("pager"));
  const second = await auth.listKeys({ pageSize: 3, pageToken: first.nextPageToken }, as("pager"));
  expect([...first.keys, ...second.keys].map(({ displayName }) => displayName)).toEqual(["k4", "k3", "k2", "k1", "k0"]);
  expect(second.nextPageToken).toBe("");
  expect((await auth.listKeys({ subject: "nobody" }, as("pager"))).keys).toEqual([]);
  expect((await auth.listKeys({}, as("stranger"))).keys).toEqual([]);
});

test.for([
  ["scope_of_the_issuer", { ...request("s1"), scopes: ["memory.write"] }, Status.PERMISSION_DENIED, "SCOPE_MISSING"],
  ["scope_form", { ...request("s2"), scopes: ["everything"] }, Status.INVALID_ARGUMENT, "FIELD_INVALID"],
  ["request_id_reused", { ...request("once"), subject: "else" }, Status.INVALID_ARGUMENT, "REQUEST_ID_REUSED"],
] as const)("issue_refused_for_its_%s", async ([, refused, code, reason]) => {
  await auth.issueKey(request("once"), as("refused"));
  const call = (options: object) =>
    auth.issueKey(
      { ...refused, scopes: [...refused.scopes] },
      { ...as("refused", "memory.read gateway.write"), ...options },
    );
  expect(await failureOf(call)).toMatchObject({ code, reason });
});

test("revocation_of_no_key_is_not_found_and_its_request_id_is_of_one_key", async () => {
  const missing = { requestId: "x1", keyId: "nothing", reason: "" };
  expect(await failureOf((options) => auth.revokeKey(missing, { ...as("acme"), ...options }))).toMatchObject({
    code: Status.NOT_FOUND,
    metadata: { resource: "key", name: "nothing" },
  });
  const { key } = await auth.issueKey(request("x2"), as("acme"));
  const revoke = { requestId: "x3", keyId: key?.keyId ?? "", reason: "" };
  expect(await auth.revokeKey(revoke, as("acme"))).toEqual(await auth.revokeKey(revoke, as("acme")));
  const reused = { ...revoke, keyId: "another" };
  expect(await failureOf((options) => auth.revokeKey(reused, { ...as("acme"), ...options }))).toMatchObject({
    reason: "REQUEST_ID_REUSED",
  });
});

test("keys_without_nats_are_published_to_nobody_and_issued_to_nobody", async () => {
  const away = await NatsServer.prepare();
  const server = await testGateway({ UAIT_NATS_URL: away.url });
  const channel = createChannel(server.address);
  const response = await fetch(`http://${server.httpAddress}/.well-known/jwks.json`);
  expect(response.status).toBe(503);
  const metadata = Metadata({ "x-uait-tenant": "acme", "x-uait-scopes": "mesh.admin", "grpc-timeout": "500m" });
  const client = createClient(AuthServiceDefinition, channel);
  const error = await failureOf((options) => client.issueKey(request("r"), { metadata, ...options }));
  expect([Status.UNAVAILABLE, Status.DEADLINE_EXCEEDED]).toContain(error.code);
  channel.close();
  await server.drain();
});

test("monitoring_without_catalogue_or_envoy_says_so", async () => {
  const [channel] = channels;
  if (channel === undefined) throw new Error("no channel");
  const monitoring = createClient(MonitoringServiceDefinition, channel);
  expect(await failureOf((options) => monitoring.getTopology({}, { ...as("acme"), ...options }))).toMatchObject({
    code: Status.UNIMPLEMENTED,
    reason: "NOT_IMPLEMENTED",
  });
});
