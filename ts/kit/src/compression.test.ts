import { connect, constants, type IncomingHttpHeaders } from "node:http2";
import { gunzipSync, gzipSync } from "node:zlib";
import { EchoRequest, EchoResponse } from "@uait/gen/uait/echo/v1/echo.js";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startTestServer, type TestServer } from "./testing/index.js";

let server: TestServer;

beforeAll(async () => {
  const env = { UAIT_MAX_MESSAGE_BYTES: "4096" };
  server = await startTestServer(
    {
      echo: async ({ message, payload }) => ({ message, payload: Buffer.alloc(payload.length * 2) }),
      expand: async function* ({ message, count }) {
        for (let index = 0; index < count; index++) yield { message, index };
      },
    },
    { env },
  );
});

afterAll(() => server.drain());

interface Answer {
  readonly headers: IncomingHttpHeaders;
  readonly status: string;
  readonly frames: readonly { readonly compressed: boolean; readonly payload: Buffer }[];
}

function frame(payload: Uint8Array, compressed: boolean): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt8(compressed ? 1 : 0, 0);
  head.writeUInt32BE(payload.length, 1);
  return Buffer.concat([head, payload]);
}

function frames(body: Buffer): Answer["frames"] {
  if (body.length === 0) return [];
  const end = 5 + body.readUInt32BE(1);
  return [{ compressed: body.readUInt8(0) === 1, payload: body.subarray(5, end) }, ...frames(body.subarray(end))];
}

/** Calls without a gRPC library, which would decompress the answer unseen. */
async function call(method: string, encoding: string, body: Buffer): Promise<Answer> {
  const session = connect(`http://${server.address}`);
  const stream = session.request({
    [constants.HTTP2_HEADER_METHOD]: "POST",
    [constants.HTTP2_HEADER_PATH]: `/uait.echo.v1.EchoService/${method}`,
    "content-type": "application/grpc",
    "grpc-encoding": encoding,
    "x-uait-tenant": "acme",
  });
  let headers: IncomingHttpHeaders = {};
  let trailers: IncomingHttpHeaders = {};
  const chunks: Buffer[] = [];
  stream.on("response", (received) => {
    headers = received;
  });
  stream.on("trailers", (received) => {
    trailers = received;
  });
  stream.on("data", (chunk: Buffer) => chunks.push(chunk));
  stream.end(body);
  await new Promise((resolve) => stream.once("close", resolve));
  session.close();
  const status = String(trailers["grpc-status"] ?? headers["grpc-status"]);
  return { headers, status, frames: frames(Buffer.concat(chunks)) };
}

const request = (fields: Parameters<typeof EchoRequest.fromPartial>[0]) =>
  EchoRequest.encode(EchoRequest.fromPartial(fields)).finish();

test("request_in_gzip_is_answered_in_gzip", async () => {
  const answer = await call("Echo", "gzip", frame(gzipSync(request({ message: "squeeze" })), true));
  expect(answer).toMatchObject({ status: "0", headers: { "grpc-encoding": "gzip" }, frames: [{ compressed: true }] });
  const [only] = answer.frames;
  expect(only && EchoResponse.decode(gunzipSync(only.payload)).message).toBe("squeeze");
});

test("request_in_gzip_has_every_message_of_a_stream_in_gzip", async () => {
  // ExpandRequest{message: "x", count: 3}
  const expand = Uint8Array.of(0x0a, 1, 0x78, 0x10, 3);
  const answer = await call("Expand", "gzip", frame(gzipSync(expand), true));
  expect(answer.status).toBe("0");
  expect(answer.frames.map(({ compressed }) => compressed)).toEqual([true, true, true]);
});

test("request_in_plain_is_answered_in_plain", async () => {
  const answer = await call("Echo", "identity", frame(request({ message: "x" }), false));
  expect(answer).toMatchObject({
    status: "0",
    headers: { "grpc-encoding": "identity" },
    frames: [{ compressed: false }],
  });
});

test("response_over_the_limit_is_refused_however_small_it_compresses", async () => {
  const body = frame(gzipSync(request({ message: "x", payload: Buffer.alloc(3000) })), true);
  expect(await call("Echo", "gzip", body)).toMatchObject({ status: "8", frames: [] });
});
