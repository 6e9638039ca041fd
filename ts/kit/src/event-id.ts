import { createHash, randomBytes } from "node:crypto";

/** A UUID version 7 (RFC 9562, section 5.7): 48 bits of Unix milliseconds, then randomness. */
export function uuidV7(nowMs: number, random: Uint8Array = randomBytes(10)): string {
  const bytes = Buffer.alloc(16);
  bytes.writeUIntBE(nowMs, 0, 6);
  Buffer.from(random).copy(bytes, 6, 0, 10);
  return formatUuid(bytes, 7);
}

/** A UUID version 5 (RFC 9562, section 5.5): SHA-1 over a namespace's 16 bytes and a name. */
export function uuidV5(namespace: string, name: string): string {
  const digest = createHash("sha1")
    .update(Buffer.from(namespace.replaceAll("-", ""), "hex"))
    .update(name)
    .digest();
  return formatUuid(digest.subarray(0, 16), 5);
}

// One namespace for all kits, so that a service that changes its language still knows its requests.
const REQUEST_IDS = "0b6f3c1e-6a52-4f0c-9d5b-7a0f4f6f0d1e";

/**
 * The id of the event that a request makes: who was asked, about what, for whom and by which request, so that a repeat,
 * at whichever replica, publishes the same event. None but the last part can hold a slash.
 */
export function requestEventId(request: {
  readonly service: string;
  readonly area: string;
  readonly tenant: string;
  readonly requestId: string;
}): string {
  const { service, area, tenant, requestId } = request;
  return uuidV5(REQUEST_IDS, `${service}/${area}/${tenant}/${requestId}`);
}

function formatUuid(bytes: Buffer, version: number): string {
  bytes.writeUInt8((bytes.readUInt8(6) & 0x0f) | (version << 4), 6);
  bytes.writeUInt8((bytes.readUInt8(8) & 0x3f) | 0x80, 8);
  const hex = bytes.toString("hex");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}
