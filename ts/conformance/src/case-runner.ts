import type { CallCase, Case, Expectation } from "./case-file.js";
import type { CallResult, ClientLibrary, EchoClient, Target } from "./echo-client.js";
import { type Json, type JsonObject, valueAt } from "./json.js";
import { mismatch } from "./matching.js";
import { cancelProbe } from "./probe-cancel.js";
import { drainProbe } from "./probe-drain.js";
import { streamsProbe } from "./probe-streams.js";
import { decodeStatusDetails } from "./rpc-status.js";
import { Variables } from "./variables.js";

export interface CaseResult {
  readonly case: string;
  readonly ok: boolean;
  readonly ms: number;
  readonly error?: string;
}

export interface RunOptions {
  readonly library: ClientLibrary;
  readonly cases: readonly Case[];
  readonly target: Target;
  /** The server itself, for health checks. */
  readonly server: Target;
  /** Process id of the server, for the drain probe. */
  readonly pid: number | undefined;
  /** The catalogue name that answers are expected from. */
  readonly service: string;
}

export const DEFAULT_TENANT = "acme";

/** What a probe has at hand. */
export interface ProbeContext extends RunOptions {
  readonly client: EchoClient;
  readonly variables: Variables;
}

/** Runs the cases in order, each to its end, and reports each. */
export async function* runCases(options: RunOptions): AsyncGenerator<CaseResult> {
  const client = options.library.echo(options.target);
  const context: ProbeContext = { ...options, client, variables: new Variables(options.service) };
  try {
    for (const each of options.cases) yield await timed(each.name, () => runCase(each, context));
  } finally {
    client.close();
  }
}

/** Runs one check and says how it went: it passes when nothing is returned or thrown. */
export async function timed(name: string, check: () => Promise<string | undefined>): Promise<CaseResult> {
  const startedMs = performance.now();
  const error = await check().catch((reason: unknown) => (reason instanceof Error ? reason.message : String(reason)));
  const ms = Math.round((performance.now() - startedMs) * 10) / 10;
  return error === undefined ? { case: name, ok: true, ms } : { case: name, ok: false, ms, error };
}

function runCase(each: Case, context: ProbeContext): Promise<string | undefined> {
  if (!("probe" in each)) return runCall(each, context);
  switch (each.probe) {
    case "cancel":
      return cancelProbe(each, context);
    case "streams":
      return streamsProbe(each, context);
    case "drain":
      return drainProbe(each, context);
  }
}

async function runCall(each: CallCase, { client, variables }: ProbeContext): Promise<string | undefined> {
  const { metadata, send, expect } = variables.substitute({
    metadata: each.metadata,
    send: each.send,
    expect: each.expect,
  });
  const result = await client.call(each.call, requests(send, each), {
    metadata: { "x-uait-tenant": DEFAULT_TENANT, ...metadata },
    deadlineMs: each.deadline_ms,
    gzip: each.compress === "gzip",
  });
  const error = judge(expect, result);
  if (error !== undefined) return error;
  for (const [name, path] of Object.entries(each.save)) {
    const value = valueAt(result.responses[0], path);
    if (value === undefined || value === null)
      return `${path}: expected a value to save, came ${JSON.stringify(value)}`;
    variables.set(name, typeof value === "object" ? JSON.stringify(value) : String(value));
  }
  return undefined;
}

function requests(send: readonly JsonObject[], { fill, repeat }: CallCase): JsonObject[] {
  const filled = Object.entries(fill).map(([field, bytes]) => [field, Buffer.alloc(bytes).toString("base64")] as const);
  const list = send.map((message, index) => (index === 0 ? { ...message, ...Object.fromEntries(filled) } : message));
  return Array.from({ length: repeat }, () => list).flat();
}

/** Compares a result with what was expected. @returns what differs, or `undefined`. */
export function judge(expect: Expectation, result: CallResult): string | undefined {
  if (result.code !== expect.code) {
    return `code: expected ${expect.code}, came ${result.code} (${result.message})`;
  }
  return (
    judgeResponses(expect, result.responses) ??
    (expect.message === undefined ? undefined : mismatch(expect.message, result.message, "message")) ??
    (expect.trailers === undefined ? undefined : mismatch(expect.trailers, result.trailers, "trailers")) ??
    judgeDetails(expect, result)
  );
}

function judgeResponses({ responses, count, bytes }: Expectation, came: readonly Json[]): string | undefined {
  const wanted = count ?? responses?.length;
  if (wanted !== undefined && came.length !== wanted) return `responses: expected ${wanted}, came ${came.length}`;
  for (const [index, response] of (responses ?? []).entries()) {
    const error = mismatch(response, came[index], `responses[${index}]`);
    if (error !== undefined) return error;
  }
  for (const [field, size] of Object.entries(bytes ?? {})) {
    const value = valueAt(came[0], field);
    const length = typeof value === "string" ? Buffer.from(value, "base64").length : 0;
    if (length !== size) return `${field}: expected ${size} bytes, came ${length}`;
  }
  return undefined;
}

function judgeDetails(expect: Expectation, result: CallResult): string | undefined {
  const { reason, metadata, violations, hides } = expect;
  if (hides !== undefined) {
    const status = `${result.message} ${Buffer.from(result.details ?? []).toString("latin1")}`;
    if (status.includes(hides))
      return `status: expected to hide ${JSON.stringify(hides)}, came ${JSON.stringify(status)}`;
  }
  if (reason === undefined && metadata === undefined && violations === undefined) return undefined;
  if (result.details === undefined) return "details: expected google.rpc.Status, came none";
  const { status, errorInfo, violations: came } = decodeStatusDetails(result.details);
  return (
    mismatch(result.message, status.message, "details.message") ??
    mismatch("uait.dev", errorInfo?.domain, "domain") ??
    (reason === undefined ? undefined : mismatch(reason, errorInfo?.reason, "reason")) ??
    (metadata === undefined ? undefined : mismatch(metadata, errorInfo?.metadata, "metadata")) ??
    judgeViolations(violations ?? [], came)
  );
}

// A subset, in order: each expected violation must come after the one before it.
function judgeViolations(
  expected: readonly JsonObject[],
  came: readonly { readonly field: string; readonly reason: string; readonly description: string }[],
): string | undefined {
  let from = 0;
  for (const violation of expected) {
    const index = came.findIndex(
      ({ field, reason, description }, at) =>
        at >= from && mismatch(violation, { field, reason, description }) === undefined,
    );
    if (index < 0) return `violations: expected ${JSON.stringify(expected)}, came ${JSON.stringify(came)}`;
    from = index + 1;
  }
  return undefined;
}
