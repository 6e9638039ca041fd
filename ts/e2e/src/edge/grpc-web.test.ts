import { EchoRequest, EchoResponse, EchoServiceDefinition } from "@uait/gen/uait/echo/v1/echo.js";
import { createChannel, createClient, Metadata } from "nice-grpc-web";
import { afterAll, beforeAll, expect, test } from "vitest";
import { failure, outcomeOf } from "./outcome.js";
import { Scene } from "./scene.js";

let scene: Scene;
let key: string;
beforeAll(async () => {
  scene = await Scene.open();
  key = await scene.home.issuer.sign({ scope: "echo.read" });
});
afterAll(() => scene?.close());

const forms = ["application/grpc-web+proto", "application/grpc-web-text"] as const;
type Form = (typeof forms)[number];

const ECHO = "/uait.echo.v1.EchoService/Echo";

/** One message in a gRPC-web frame, in base64 for the text form. */
function framed(form: Form, message: Uint8Array): Uint8Array {
  const frame = Buffer.alloc(5 + message.length);
  frame.writeUInt32BE(message.length, 1);
  frame.set(message, 5);
  return form.includes("text") ? Buffer.from(frame.toString("base64")) : frame;
}

/** Calls without a client library, so that the wire itself is seen. */
async function call(form: Form, path: string, message: Uint8Array, headers: Record<string, string> = {}) {
  const response = await fetch(scene.url + path, {
    method: "POST",
    headers: { "content-type": form, accept: form, "x-grpc-web": "1", authorization: `Bearer ${key}`, ...headers },
    body: Buffer.from(framed(form, message)),
  });
  const raw = Buffer.from(await response.arrayBuffer());
  let rest = form.includes("text") ? decodeText(raw.toString()) : raw;
  const messages: Buffer[] = [];
  const trailers = new Map<string, string>(response.headers);
  while (rest.length > 0) {
    const length = rest.readUInt32BE(1);
    const payload = rest.subarray(5, 5 + length);
    if (((rest[0] ?? 0) & 0x80) === 0) messages.push(payload);
    else for (const line of payload.toString().trim().split("\r\n")) trailers.set(...split(line));
    rest = rest.subarray(5 + length);
  }
  const details = trailers.get("grpc-status-details-bin");
  return {
    http: response.status,
    type: response.headers.get("content-type"),
    messages,
    ...failure(
      Number(trailers.get("grpc-status")),
      trailers.get("grpc-message") ?? "",
      details === undefined ? undefined : Buffer.from(details, "base64"),
    ),
  };
}

function split(line: string): [string, string] {
  const colon = line.indexOf(":");
  return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
}

/** The text form is a sequence of base64 pieces, each padded by itself. */
function decodeText(text: string): Buffer {
  return Buffer.concat((text.match(/[A-Za-z0-9+/]+={0,2}/g) ?? []).map((piece) => Buffer.from(piece, "base64")));
}

test.for(forms)("grpc_web_call_answers_%s", async (form) => {
  const answer = await call(form, ECHO, EchoRequest.encode(EchoRequest.create({ message: "x" })).finish());
  expect(answer).toMatchObject({ http: 200, code: "OK", type: expect.stringContaining(form.split("+")[0] ?? "") });
  expect(EchoResponse.decode(answer.messages[0] ?? Buffer.of())).toMatchObject({
    message: "x",
    seen: { tenant: "acme" },
  });
});

test.for(forms)("grpc_web_service_error_has_details_%s", async (form) => {
  const request = EchoRequest.create({
    message: "x",
    behaviour: { failure: { $case: "missing", value: "atlantis" }, trailers: {} },
  });
  expect(await call(form, ECHO, EchoRequest.encode(request).finish())).toMatchObject({
    http: 200,
    code: "NOT_FOUND",
    info: { reason: "RESOURCE_NOT_FOUND", metadata: { name: "atlantis" } },
  });
});

test.for(forms)("grpc_web_key_missing_is_unauthenticated_%s", async (form) => {
  expect(await call(form, ECHO, Buffer.of(), { authorization: "" })).toMatchObject({
    http: 200,
    code: "UNAUTHENTICATED",
    info: { reason: "KEY_INVALID" },
  });
});

test.for(forms)("grpc_web_scope_missing_is_permission_denied_%s", async (form) => {
  expect(await call(form, "/uait.echo.v1.EchoService/Publish", Buffer.of())).toMatchObject({
    http: 200,
    code: "PERMISSION_DENIED",
    message: "the key lacks the scope echo.write",
    info: { reason: "SCOPE_MISSING", metadata: { scope: "echo.write" } },
  });
});

test.for(forms)("grpc_web_service_unknown_is_unimplemented_%s", async (form) => {
  expect(await call(form, "/uait.nowhere.v1.NoService/Do", Buffer.of())).toMatchObject({
    http: 200,
    code: "UNIMPLEMENTED",
  });
});

test("grpc_web_client_library_streams", async () => {
  const client = createClient(EchoServiceDefinition, createChannel(scene.url));
  const metadata = Metadata({ authorization: `Bearer ${key}` });
  const indexes: number[] = [];
  for await (const { index } of client.expand({ message: "x", count: 200 }, { metadata })) indexes.push(index);
  expect(indexes).toEqual(Array.from({ length: 200 }, (_, index) => index));
});

test("grpc_web_stream_arrives_as_it_is_sent", async () => {
  const client = createClient(EchoServiceDefinition, createChannel(scene.url));
  const metadata = Metadata({ authorization: `Bearer ${key}` });
  const abort = new AbortController();
  const request = { message: "x", count: 2, interval: { seconds: 60n, nanos: 0 } };
  const stream = client.expand(request, { metadata, signal: abort.signal })[Symbol.asyncIterator]();
  expect((await stream.next()).value).toMatchObject({ index: 0 });
  abort.abort();
  await expect(stream.next()).rejects.toThrow();
});

test("grpc_web_and_grpc_see_the_same_error", async () => {
  const grpc = scene.client("edge");
  const { message, info } = await outcomeOf((options) => grpc.echo({ message: "x" }, options));
  expect(await call("application/grpc-web+proto", ECHO, Buffer.of(), { authorization: "" })).toMatchObject({
    message,
    info,
  });
});
