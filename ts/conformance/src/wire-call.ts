import { type ClientHttp2Session, connect, type IncomingHttpHeaders } from "node:http2";
import type { Target } from "./echo-client.js";

/** How a raw HTTP/2 request was answered. */
export interface WireAnswer {
  readonly headers: IncomingHttpHeaders;
  readonly trailers: IncomingHttpHeaders;
  readonly body: Buffer;
  /** HTTP/2 error code with which the stream was reset; 0 for an orderly end. */
  readonly reset: number;
}

export interface WireRequest {
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

const LIMIT_MS = 10_000;

/** A connection that sends what it is told, with none of a gRPC library's care. */
export class WireConnection {
  readonly #session: ClientHttp2Session;

  constructor({ address, tls }: Target) {
    const options = tls === undefined ? {} : { cert: tls.cert, key: tls.key, ca: tls.ca, ALPNProtocols: ["h2"] };
    this.#session = connect(`${tls === undefined ? "http" : "https"}://${address}`, options);
    // Each request fails with the session's error; without a listener the process would too.
    this.#session.on("error", () => undefined);
  }

  /** Sends one request, half-closed, and returns the whole answer. @throws Error after 10 s without one. */
  request({ path, headers, body }: WireRequest): Promise<WireAnswer> {
    return new Promise((resolve, reject) => {
      const stream = this.#session.request({ ":method": "POST", ":path": path, ...headers });
      const timer = setTimeout(() => {
        reject(new Error(`no answer within ${LIMIT_MS} ms`));
        stream.close();
      }, LIMIT_MS);
      let answered: IncomingHttpHeaders = {};
      let trailers: IncomingHttpHeaders = {};
      const chunks: Buffer[] = [];
      stream.on("response", (received) => {
        answered = received;
      });
      stream.on("trailers", (received) => {
        trailers = received;
      });
      stream.on("data", (chunk: Buffer) => chunks.push(chunk));
      stream.on("error", () => undefined);
      stream.on("close", () => {
        clearTimeout(timer);
        resolve({ headers: answered, trailers, body: Buffer.concat(chunks), reset: stream.rstCode ?? 0 });
      });
      stream.end(body);
    });
  }

  close(): void {
    this.#session.close();
  }
}

/** A length-prefixed message (gRPC over HTTP/2). */
export function frame(payload: Uint8Array, compressed = false): Buffer {
  const bytes = Buffer.alloc(payload.length + 5);
  bytes.writeUInt8(compressed ? 1 : 0, 0);
  bytes.writeUInt32BE(payload.length, 1);
  bytes.set(payload, 5);
  return bytes;
}

/** The first message of a body. @throws Error when there is none. */
export function unframe(body: Buffer): { readonly compressed: boolean; readonly payload: Buffer } {
  if (body.length < 5) throw new Error(`expected a length-prefixed message, came ${body.length} bytes`);
  const length = body.readUInt32BE(1);
  return { compressed: body.readUInt8(0) === 1, payload: body.subarray(5, 5 + length) };
}

/** A header of a trailers-only answer or of its trailers. */
export function trailer({ headers, trailers }: WireAnswer, name: string): string | undefined {
  const value = trailers[name] ?? headers[name];
  return typeof value === "string" ? value : value?.[0];
}
