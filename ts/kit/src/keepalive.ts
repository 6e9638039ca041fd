import { constants, type ServerHttp2Session } from "node:http2";
import type { ServerInterceptingCallInterface } from "@grpc/grpc-js";

// grpc-js 1.14.7 answers pings but does not limit them. Its base call holds the stream, private in its types.
interface BaseCall {
  readonly stream?: { readonly session?: ServerHttp2Session };
}

/** Least time between a client's pings while it is sent nothing (gRFC A8 and A9). */
const LEAST_INTERVAL_MS = 10_000;
const STRIKES = 2;
// The acknowledgement of a ping takes 17 bytes, sealed by TLS less than 64; more means that the client was answered,
// and clients probe the bandwidth with pings then.
const ACKNOWLEDGEMENT_BYTES = 64;

/** Ends connections whose clients ping too often, as grpc-go and grpc-core do. */
export class PingPolicy {
  readonly #sessions = new WeakSet<ServerHttp2Session>();

  /** Watches the connection of a call. */
  watch(call: ServerInterceptingCallInterface): void {
    const session = (call as unknown as BaseCall).stream?.session;
    if (session === undefined || this.#sessions.has(session)) return;
    this.#sessions.add(session);
    enforce(session);
  }
}

function enforce(session: ServerHttp2Session): void {
  let lastMs = Number.NEGATIVE_INFINITY;
  let lastBytes = 0;
  let strikes = 0;
  session.on("ping", () => {
    const nowMs = performance.now();
    const sentBytes = session.socket.bytesWritten;
    if (sentBytes - lastBytes > ACKNOWLEDGEMENT_BYTES) strikes = 0;
    else if (nowMs - lastMs < LEAST_INTERVAL_MS) strikes++;
    lastMs = nowMs;
    lastBytes = sentBytes;
    if (strikes <= STRIKES || session.closed) return;
    session.goaway(constants.NGHTTP2_ENHANCE_YOUR_CALM, 0, Buffer.from("too_many_pings"));
    session.close();
  });
}
