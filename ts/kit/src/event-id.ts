import { createHash, randomBytes } from "node:crypto";

/** A UUID version 7 (RFC 9562, section 5.7): 48 bits of Unix milliseconds, then randomness. */
export function uuidV7(nowMs: number, random: Uint8Array = randomBytes(10)): string {
  const bytes = Buffer.alloc(16);
  bytes.writeUIntBE(nowMs, 0, 6);
  Buffer.from(random).copy(bytes, 6, 0, 10);
  return formatUuid(bytes, 7);
}

/**
 * The id of the event that a request makes: a UUID version 8 (RFC 9562, section 5.8) over who asked whom for what, so
 * that a repeat of the request, at whichever replica, publishes the same event.
 */
export function requestEventId(source: string, tenant: string, requestId: string): string {
  const digest = createHash("sha256").update(`${source}\n${tenant}\n${requestId}`).digest();
  return formatUuid(digest.subarray(0, 16), 8);
}

function formatUuid(bytes: Buffer, version: number): string {
  bytes.writeUInt8((bytes.readUInt8(6) & 0x0f) | (version << 4), 6);
  bytes.writeUInt8((bytes.readUInt8(8) & 0x3f) | 0x80, 8);
  const hex = bytes.toString("hex");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}
