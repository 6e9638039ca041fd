import { constants, type ServerHttp2Session } from "node:http2";
import type { ServerInterceptingCallInterface } from "@grpc/grpc-js";
import { baseCall } from "./base-call.js";

/** Least time between a client's pings while it is sent nothing (gRFC A8 and A9). */
const LEAST_PING_INTERVAL_MS = 10_000;
const STRIKES = 2;
// RFC 9113, section 6.7: nine bytes of header, eight of payload. TLS adds none: Node counts what goes into it.
const ACKNOWLEDGEMENT_BYTES = 17;

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
  let acknowledgedBytes = 0;
  let mostSentBytes = 0;
  let strikes = 0;
  session.on("ping", () => {
    const nowMs = performance.now();
    // Acknowledgements of pings that came in one packet are written after all of them are told: for a moment this may
    // be too little, but pings alone never make it grow. It grows when the client is answered, as clients probe the
    // bandwidth with a ping at each answer then.
    const sentBytes = session.socket.bytesWritten - acknowledgedBytes;
    acknowledgedBytes += ACKNOWLEDGEMENT_BYTES;
    if (sentBytes > mostSentBytes) strikes = 0;
    else if (nowMs - lastMs < LEAST_PING_INTERVAL_MS) strikes++;
    mostSentBytes = Math.max(mostSentBytes, sentBytes);
    lastMs = nowMs;
    if (strikes <= STRIKES || session.closed) return;
    session.goaway(constants.NGHTTP2_ENHANCE_YOUR_CALM, 0, Buffer.from("too_many_pings"));
    session.close();
  });
}
