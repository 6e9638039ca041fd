import { readFile } from "node:fs/promises";
import { parse } from "yaml";
import { z } from "zod";
import type { Json, JsonObject } from "./json.js";

const json: z.ZodType<Json> = z.lazy(() =>
  z.union([z.null(), z.boolean(), z.number(), z.string(), z.array(json), z.record(z.string(), json)]),
);
const jsonObject: z.ZodType<JsonObject> = z.record(z.string(), json);
const texts = z.record(z.string(), z.string());
const sizes = z.record(z.string(), z.number().int().nonnegative());

const expectation = z.strictObject({
  code: z.string().default("OK"),
  responses: z.array(jsonObject).optional(),
  count: z.number().int().nonnegative().optional(),
  bytes: sizes.optional(),
  message: z.string().optional(),
  reason: z.string().optional(),
  metadata: texts.optional(),
  violations: z.array(texts).optional(),
  hides: z.string().optional(),
  trailers: texts.optional(),
});

const name = z.string().regex(/^[a-z0-9_]+$/);

const callCase = z.strictObject({
  name,
  call: z.string(),
  metadata: texts.default({}),
  send: z.array(jsonObject),
  fill: sizes.default({}),
  compress: z.literal("gzip").optional(),
  deadline_ms: z.number().int().positive().default(10_000),
  repeat: z.number().int().positive().default(1),
  save: texts.default({}),
  expect: expectation,
});

const positive = z.number().int().positive();

const cancelProbe = z.strictObject({ name, probe: z.literal("cancel"), tries: positive, within_ms: positive });
const streamsProbe = z.strictObject({ name, probe: z.literal("streams"), count: positive });
const drainProbe = z.strictObject({
  name,
  probe: z.literal("drain"),
  calls: positive,
  delay_ms: positive,
  within_ms: positive,
  gone_ms: positive,
});

const caseFile = z.strictObject({
  cases: z.array(z.union([callCase, z.discriminatedUnion("probe", [cancelProbe, streamsProbe, drainProbe])])),
});

export type CallCase = z.infer<typeof callCase>;
export type Expectation = z.infer<typeof expectation>;
export type CancelProbe = z.infer<typeof cancelProbe>;
export type StreamsProbe = z.infer<typeof streamsProbe>;
export type DrainProbe = z.infer<typeof drainProbe>;
export type Case = z.infer<typeof caseFile>["cases"][number];

/** Reads `cases.yaml`; its head explains the fields. Unknown fields are refused: they would be cases not run. */
export async function readCases(path: string): Promise<readonly Case[]> {
  return caseFile.parse(parse(await readFile(path, "utf8"))).cases;
}
