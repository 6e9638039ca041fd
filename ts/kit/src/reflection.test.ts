import { createChannel, createClient } from "nice-grpc";
import { afterAll, beforeAll, expect, test } from "vitest";
import { reflectionDefinition } from "./reflection.js";
import { startTestServer, type TestServer } from "./testing/index.js";

let server: TestServer;

beforeAll(async () => {
  server = await startTestServer({});
});

afterAll(() => server.drain());

// ServerReflectionRequest by hand: these tests shall not trust the library that answers.
const LIST_SERVICES = Uint8Array.of(0x3a, 1, 0x2a);
const symbol = (name: string) => Buffer.concat([Uint8Array.of(0x22, name.length), Buffer.from(name)]);

async function ask(version: "v1" | "v1alpha", request: Uint8Array): Promise<string> {
  const channel = createChannel(server.address);
  try {
    const client = createClient(reflectionDefinition(version), channel);
    for await (const answer of client.serverReflectionInfo(once(request)))
      return Buffer.from(answer).toString("latin1");
  } finally {
    channel.close();
  }
  throw new Error("no answer");
}

async function* once(request: Uint8Array): AsyncGenerator<Uint8Array> {
  yield request;
}

test.each(["v1", "v1alpha"] as const)("reflection_%s_lists_every_service", async (version) => {
  const answer = await ask(version, LIST_SERVICES);
  const names = ["uait.echo.v1.EchoService", "grpc.health.v1.Health", `grpc.reflection.${version}.ServerReflection`];
  for (const name of names) expect(answer).toContain(name);
});

test("reflection_of_a_symbol_is_its_file_with_rules", async () => {
  const answer = await ask("v1", symbol("uait.echo.v1.EchoService"));
  expect(answer).toContain("uait/echo/v1/echo.proto");
  expect(answer).toContain("^x-echo-[a-z0-9-]{1,32}$");
});

test.each([
  ["grpc.health.v1.Health", "grpc/health/v1/health.proto"],
  ["google.rpc.ErrorInfo", "google/rpc/error_details.proto"],
])("reflection_of_%s_is_%s", async (name, file) => {
  expect(await ask("v1", symbol(name))).toContain(file);
});

test("reflection_of_an_unknown_symbol_is_not_found", async () => {
  expect(await ask("v1", symbol("uait.Nothing"))).toContain("Symbol not found: uait.Nothing");
});
