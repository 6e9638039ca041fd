import { randomBytes } from "node:crypto";
import type { RunRequest } from "@uait/gen/uait/orchestrator/v1/orchestrator.js";
import {
  Verifier_Language as Language,
  type Verifier as MeshVerifier,
} from "@uait/gen/uait/orchestrator/v1/verifier.js";
import { durationToMillis, fingerprintOf } from "@uait/kit";
import { limitsOf } from "./budget.js";
import { OrchestratorError } from "./error.js";
import { DEFAULT_MAX_DEPTH, DEFAULT_PARALLEL, type RunJob } from "./run-job.js";
import type { Confinement } from "./sandbox/confinement.js";
import { ExpressionError } from "./verifiers/expression-error.js";
import type { Check, ConfinedCheck, Verifier } from "./verifiers/verifier.js";
import { type Budget, type OutputConstraint, Strategy } from "./vocabulary.js";

const DEFAULT_PROGRAM_MS = 2000;
const DEFAULT_PROGRAM_BYTES = 128 * 1024 * 1024;
const DEFAULT_MIN_ATTEMPTS = 3;
/** Before the caller's deadline, ms, at which the search ends, so that the answer still arrives. */
const ANSWER_MARGIN_MS = 500;

/** What a request asks to be run, with the defaults of the contract. */
export function jobOf(request: RunRequest, runId: string, deadlineMs: number | undefined, nowMs: number): RunJob {
  const { search, context, targetScore = 1, output, sampling, taskType, task, instructions } = request;
  const strategy = search?.strategy || Strategy.STRATEGY_AB_MCTS;
  // Unless it is detached, a run that outlasts its caller answers nobody: it ends a little before.
  const leftMs = deadlineMs === undefined || request.detached ? undefined : deadlineMs - nowMs;
  const limits = limitsOf(request.budget, wallTimeOf(request.budget), leftMs, ANSWER_MARGIN_MS);
  return {
    runId,
    task,
    taskType,
    instructions,
    output,
    verifiers: request.verifiers.map(verifierOf),
    limits: strategy === Strategy.STRATEGY_SINGLE ? { ...limits, maxNodes: 1 } : limits,
    targetScore,
    strategy,
    parallel: search?.parallel || DEFAULT_PARALLEL,
    maxDepth: search?.maxDepth || DEFAULT_MAX_DEPTH,
    seed: search?.seed ?? randomBytes(8).readBigUInt64BE() >> 1n,
    context: context?.off
      ? undefined
      : {
          sources: context?.sources ?? [],
          fileIds: request.fileIds,
          maxTokens: context?.maxTokens ?? 0,
          minScore: context?.minScore ?? 0,
        },
    agents: request.agents,
    models: request.models,
    sampling,
    forgotten: request.forgotten,
    labels: request.labels,
    // How the caller listens is not what it asks for.
    digest: fingerprintOf({ ...request, resumeAfter: 0n, detail: 0, detached: false }),
  };
}

function wallTimeOf(budget: Budget | undefined): number | undefined {
  return budget?.maxWallTime === undefined ? undefined : durationToMillis(budget.maxWallTime);
}

/** A verifier of the contract as this service works with it. */
export function verifierOf({ name, weight, kind }: MeshVerifier): Verifier {
  const check = checkOf(kind);
  return { name: name || check.kind, weight: weight || 1, check };
}

function checkOf(kind: MeshVerifier["kind"]): Check {
  switch (kind?.$case) {
    case "exact":
      return { kind: "exact", ...kind.value };
    case "regex":
      return { kind: "regex", ...kind.value };
    case "jsonSchema":
      return { kind: "json_schema", ...kind.value };
    case "numeric":
      return { kind: "numeric", ...kind.value };
    case "program": {
      const { language, source, timeout, memoryBytes } = kind.value;
      return {
        kind: "program",
        language: language === Language.LANGUAGE_PYTHON ? "python" : "javascript",
        source,
        timeoutMs: timeout === undefined ? DEFAULT_PROGRAM_MS : durationToMillis(timeout),
        memoryBytes: Number(memoryBytes) || DEFAULT_PROGRAM_BYTES,
      };
    }
    case "judge":
      return { kind: "judge", ...kind.value };
    case "agreement":
      return {
        kind: "agreement",
        pattern: kind.value.pattern,
        minAttempts: kind.value.minAttempts || DEFAULT_MIN_ATTEMPTS,
      };
    case undefined:
      throw new RangeError("a verifier without a kind passed validation");
  }
}

/** Makes sure that every expression of a request is well-formed, before anything runs. @throws OrchestratorError */
export async function requireWellFormed(
  parts: { readonly verifiers: readonly Verifier[]; readonly output?: OutputConstraint | undefined },
  confinement: Confinement,
  signal: AbortSignal,
): Promise<void> {
  const checks = parts.verifiers.flatMap(({ check }, index) =>
    confinedPart(check).map((part) => ({ part, field: `verifiers[${index}].${check.kind}` })),
  );
  const { output } = parts;
  if (output?.form?.$case === "jsonSchema") {
    checks.push({ part: { kind: "json_schema", schema: output.form.value }, field: "output.json_schema" });
  }
  if (output?.form?.$case === "regex") {
    checks.push({ part: { kind: "regex", pattern: output.form.value, full: true }, field: "output.regex" });
  }
  await Promise.all(
    checks.map(async ({ part, field }) => {
      try {
        await confinement.prepare(part, signal);
      } catch (cause) {
        if (cause instanceof ExpressionError) throw new OrchestratorError({ kind: "expression_invalid", field, cause });
        throw cause;
      }
    }),
  );
}

function confinedPart(check: Check): ConfinedCheck[] {
  switch (check.kind) {
    case "regex":
    case "json_schema":
    case "program":
      return [check];
    case "agreement":
      return check.pattern === "" ? [] : [{ kind: "regex", pattern: check.pattern, full: false }];
    default:
      return [];
  }
}
