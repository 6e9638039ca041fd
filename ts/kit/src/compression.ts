import { promisify } from "node:util";
import { gzip } from "node:zlib";
import type { ServerInterceptingCallInterface } from "@grpc/grpc-js";
import { baseCall } from "./base-call.js";

/** Encodes the responses of one call as gzip frames. */
export type ResponseCompressor = (message: unknown) => Promise<CompressedFrame>;

/** A length-prefixed message with the compressed flag set (gRPC over HTTP/2, "Length-Prefixed-Message"). */
export class CompressedFrame {
  readonly bytes: Buffer;

  constructor(payload: Buffer) {
    this.bytes = Buffer.allocUnsafe(payload.length + FRAME_HEADER_BYTES);
    this.bytes.writeUInt8(1, 0);
    this.bytes.writeUInt32BE(payload.length, 1);
    payload.copy(this.bytes, FRAME_HEADER_BYTES);
  }
}

const FRAME_HEADER_BYTES = 5;
const deflate = promisify(gzip);

/**
 * grpc-js decompresses requests but does not compress responses: a compressor of responses up to `maxMessageBytes` (else RangeError) for a call whose requests come compressed by gzip, as grpc-go answers: the same encoding back, since a
 * peer that sends it can read it.
 *
 * @returns `undefined` for every other call.
 */
export function mirrorCompression(
  call: ServerInterceptingCallInterface,
  maxMessageBytes: number,
): ResponseCompressor | undefined {
  const base = baseCall(call);
  if (base.incomingEncoding !== "gzip" || base.serializeMessage === undefined) return undefined;
  const serialize = base.serializeMessage.bind(base);
  base.serializeMessage = (message) => (message instanceof CompressedFrame ? message.bytes : serialize(message));
  return async (message) => {
    const payload = serialize(message).subarray(FRAME_HEADER_BYTES);
    if (payload.length > maxMessageBytes) throw new RangeError(`${payload.length} bytes exceed ${maxMessageBytes}`);
    return new CompressedFrame(await deflate(payload));
  };
}
