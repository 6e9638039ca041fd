import { constants, type ServerHttp2Session } from "node:http2";
import type { ServerInterceptingCallInterface } from "@grpc/grpc-js";
import { baseCall } from "./base-call.js";

/** Least time between a client's pings while it is sent nothing (gRFC A8 and A9). */
const LEAST_PING_INTERVAL_MS = 10_000;
const STRIKES = 2;
// The acknowledgement of a ping takes 17 bytes, sealed by TLS less than 64; more means that the client was answered,
// and clients probe the bandwidth with pings then.
const ACKNOWLEDGEMENT_BYTES = 64;

/** The connections over which calls have come. */
export class Connections {
  readonly #sessions = new Set<ServerHttp2Session>();

  /** Takes note of the connection of a call, and holds its client to the pings that are allowed. */
  watch(call: ServerInterceptingCallInterface): void {
    const session = baseCall(call).stream?.session;
    if (session === undefined || this.#sessions.has(session)) return;
    this.#sessions.add(session);
    session.once("close", () => this.#sessions.delete(session));
    limitPings(session);
  }

  /** Cuts every connection; grpc-js's own forceShutdown finds none unless channelz is on. */
  destroy(): void {
    for (const session of this.#sessions) session.destroy();
  }
}

function limitPings(session: ServerHttp2Session): void {
  let lastMs = Number.NEGATIVE_INFINITY;
  let lastBytes = 0;
  let strikes = 0;
  session.on("ping", () => {
    const nowMs = performance.now();
    const sentBytes = session.socket.bytesWritten;
    if (sentBytes - lastBytes > ACKNOWLEDGEMENT_BYTES) strikes = 0;
    else if (nowMs - lastMs < LEAST_PING_INTERVAL_MS) strikes++;
    lastMs = nowMs;
    lastBytes = sentBytes;
    if (strikes <= STRIKES || session.closed) return;
    session.goaway(constants.NGHTTP2_ENHANCE_YOUR_CALM, 0, Buffer.from("too_many_pings"));
    session.close();
  });
}
