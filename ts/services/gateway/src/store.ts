import type { Bucket, EventLog } from "@uait/kit";
import { z } from "zod";

const ms = z.int().min(0);

const key = z.object({
  displayName: z.string(),
  subject: z.string(),
  scopes: z.array(z.string()),
  issuedBy: z.string(),
  issuedMs: ms,
  expiresMs: ms,
  revokedMs: ms.optional(),
  revokedBy: z.string().optional(),
  revokedWhy: z.string().optional(),
  /** Of the request that issued it. */
  fingerprint: z.string(),
  /** Public halves of the keys that signed its tokens: one, and one more for each repeat of the request. */
  jwks: z.array(
    z.object({
      kty: z.string(),
      crv: z.string(),
      x: z.string(),
      y: z.string(),
      kid: z.string(),
      alg: z.string(),
      use: z.string(),
    }),
  ),
});

/** A key as it is stored, by `<tenant>.<key_id>`: nothing in it opens anything. */
export type StoredKey = z.infer<typeof key>;

export function openKeyStore(events: EventLog): Bucket<StoredKey> {
  return events.bucket({ name: "uait_gateway_keys", schema: key });
}
