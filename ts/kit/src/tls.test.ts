import { readFileSync } from "node:fs";
import { EchoServiceDefinition } from "@uait/gen/uait/echo/v1/echo.js";
import { ChannelCredentials, createChannel, createClient, Metadata } from "nice-grpc";
import { afterAll, beforeAll, expect, test } from "vitest";
import { dial } from "./dial.js";
import { startTelemetry } from "./telemetry.js";
import { type Certificates, makeCertificates, startTestServer, type TestServer, testConfig } from "./testing/index.js";

let certificates: Certificates;
let server: TestServer;

beforeAll(async () => {
  certificates = makeCertificates();
  server = await startTestServer({ echo: async ({ message }) => ({ message }) }, { env: environment(certificates) });
});

afterAll(async () => {
  await server.drain();
  certificates.remove();
});

function environment({ cert, key, ca }: Certificates): Record<string, string> {
  return { UAIT_TLS_CERT: cert, UAIT_TLS_KEY: key, UAIT_TLS_CA: ca };
}

async function callWith(credentials: ChannelCredentials): Promise<string> {
  const channel = createChannel(server.address, credentials);
  const client = createClient(EchoServiceDefinition, channel);
  const metadata = Metadata({ "x-uait-tenant": "acme" });
  try {
    return (await client.echo({ message: "x" }, { metadata, signal: AbortSignal.timeout(5000) })).message;
  } finally {
    channel.close();
  }
}

test("dial_with_a_certificate_of_the_same_authority_is_served", async () => {
  const config = testConfig({ ...environment(certificates), UAIT_MESH: server.address });
  const mesh = dial({ config, telemetry: await startTelemetry(config) });
  const echo = mesh.client(EchoServiceDefinition);
  const answer = await echo.echo({ message: "x" }, { identity: { tenant: "acme", subject: "", scopes: [] } });
  expect(answer.message).toBe("x");
  mesh.close();
});

test("caller_without_a_certificate_is_refused", async () => {
  await expect(callWith(ChannelCredentials.createSsl(readFileSync(certificates.ca)))).rejects.toThrow(/UNAVAILABLE/);
});

test("caller_with_a_certificate_of_another_authority_is_refused", async () => {
  const other = makeCertificates();
  const [ca, key, cert] = [certificates.ca, other.key, other.cert].map((path) => readFileSync(path));
  other.remove();
  await expect(callWith(ChannelCredentials.createSsl(ca, key, cert))).rejects.toThrow(/UNAVAILABLE/);
});

test("caller_in_plain_text_is_refused", async () => {
  await expect(callWith(ChannelCredentials.createInsecure())).rejects.toThrow(/UNAVAILABLE/);
});
