import {
  Capability,
  type GenerateRequest,
  type GenerateResponse,
  type GetRoutingResponse_Candidate,
  type GetUsageRequest,
  type GetUsageResponse_Row,
  type LlmRouterServiceImplementation,
  Period,
  Preference,
  type Budget as ProtoBudget,
  type Model as ProtoModel,
  type Route as ProtoRoute,
  type Route_Requirements,
  UsageDimension,
} from "@uait/gen/uait/llm_router/v1/llm_router.js";
import {
  durationToMillis,
  type EventLog,
  fingerprintOf,
  millisToDuration,
  pageOf,
  type ServerCallContext,
} from "@uait/kit";
import type { Period as BudgetPeriod } from "./budget.js";
import type { BudgetStatus, Budgets } from "./budgets.js";
import { toFailure, toUsage } from "./call-event.js";
import { readCalls } from "./call-log-reader.js";
import type { ModelCatalogue } from "./catalogue.js";
import { RouterError } from "./error.js";
import type { Generation } from "./generation.js";
import { type Capability as ModelCapability, NO_NEEDS } from "./model.js";
import type { Attribution, Router, RouterEvent } from "./router.js";
import { ANY, type Candidate, type KnownModel, type Requirements, type Route, weigh } from "./routing.js";
import { type UsageDimension as Dimension, rowKey, type UsageQuery, type UsageRow, UsageSums } from "./usage.js";

export interface HandlerOptions {
  readonly router: Router;
  readonly catalogue: ModelCatalogue;
  readonly budgets: Budgets;
  readonly events: Pick<EventLog, "read">;
  /** Unix time in milliseconds. */
  readonly now: () => number;
}

/** The handlers of LlmRouterService. */
export function createHandler(options: HandlerOptions): LlmRouterServiceImplementation<ServerCallContext> {
  const { router, catalogue, budgets, events, now } = options;
  return {
    async *generate(request, context) {
      const attribution = toAttribution(request.attribution);
      const events = router.generate(
        { generation: toGeneration(request), route: toRoute(request.route), attribution },
        context,
      );
      for await (const event of events) yield fromEvent(event);
    },

    async listModels(request, context) {
      const wanted = request.capabilities.map(toCapability);
      const known = await catalogue.list(context);
      const items = known.filter(({ model }) => wanted.every((each) => model.capabilities.has(each)));
      const page = pageOf({ items, request, keyOf: ({ model }) => model.name });
      return { models: page.items.map(fromKnown), nextPageToken: page.nextPageToken };
    },

    async getRouting({ route, inputTokens, maxOutputTokens, taskType }, context) {
      const wanted = toRoute(route);
      const known = await catalogue.listFor(wanted, context, taskType);
      const input = { route: wanted, known, needs: NO_NEEDS, inputTokens, maxOutputTokens, nowMs: now() };
      return { candidates: weigh(input).map(fromCandidate) };
    },

    async getUsage(request, { identity, signal }) {
      const query = toUsageQuery(request, now());
      const sums = new UsageSums(query);
      const since = new Date(query.startMs);
      for await (const call of readCalls(events, { tenant: identity.tenant, since, signal })) sums.add(call);
      const page = pageOf({ items: sums.rows(), request, keyOf: rowKey });
      return {
        rows: page.items.map(fromRow),
        nextPageToken: page.nextPageToken,
        budgets: request.pageToken === "" ? budgets.list(identity.tenant).map(fromBudget) : [],
      };
    },

    async setBudget(request, context) {
      const { requestId, budgetId, period, maxCostMicroUsd, maxTokens, etag } = request;
      const change = {
        budgetId,
        requestId,
        fingerprint: fingerprintOf(request),
        period: toPeriod(period),
        maxCostMicroUsd: maxCostMicroUsd === undefined ? undefined : Number(maxCostMicroUsd),
        maxTokens: maxTokens === undefined ? undefined : Number(maxTokens),
        etag,
      };
      return { budget: fromBudget(await budgets.set(context.identity.tenant, change, context.signal)) };
    },
  };
}

function toGeneration(request: GenerateRequest): Generation {
  const { messages, tools, toolChoice, sampling, constraint, logprobs } = request;
  return { messages, tools, toolChoice, sampling, constraint, logprobs };
}

function toAttribution(attribution: GenerateRequest["attribution"]): Attribution {
  const { runId = "", nodeId = "", taskType = "", agent = "" } = attribution ?? {};
  return { runId, nodeId, taskType, agent };
}

function toRoute(route: ProtoRoute | undefined): Route {
  if (route === undefined) return ANY;
  const { target, fallbacks } = route;
  switch (target?.$case) {
    case "model":
      return { target: { model: target.value }, fallbacks };
    case "requirements":
      return { target: { requirements: toRequirements(target.value) }, fallbacks };
    case undefined:
      return { target: undefined, fallbacks };
  }
}

function toRequirements(requirements: Route_Requirements): Requirements {
  const { capabilities, maxCostMicroUsd, maxTimeToFirstToken, minContextTokens, prefer } = requirements;
  return {
    capabilities: capabilities.map(toCapability),
    maxCostMicroUsd: maxCostMicroUsd === undefined ? undefined : Number(maxCostMicroUsd),
    maxTimeToFirstTokenMs: maxTimeToFirstToken === undefined ? undefined : durationToMillis(maxTimeToFirstToken),
    minContextTokens,
    prefer: toPreference(prefer),
  };
}

function toPreference(prefer: Preference): Requirements["prefer"] {
  switch (prefer) {
    case Preference.PREFERENCE_LATENCY:
      return "latency";
    case Preference.PREFERENCE_QUALITY:
      return "quality";
    default:
      return "cost";
  }
}

const PROTO_CAPABILITIES: Readonly<Record<ModelCapability, Capability>> = {
  tools: Capability.CAPABILITY_TOOLS,
  vision: Capability.CAPABILITY_VISION,
  json_schema: Capability.CAPABILITY_JSON_SCHEMA,
  grammar: Capability.CAPABILITY_GRAMMAR,
  logprobs: Capability.CAPABILITY_LOGPROBS,
  reasoning: Capability.CAPABILITY_REASONING,
  local: Capability.CAPABILITY_LOCAL,
};

function toCapability(capability: Capability): ModelCapability {
  for (const [name, value] of Object.entries(PROTO_CAPABILITIES))
    if (value === capability) return name as ModelCapability;
  throw new Error(`validation let capability ${capability} pass`);
}

const PERIODS: Readonly<Record<BudgetPeriod, Period>> = {
  hour: Period.PERIOD_HOUR,
  day: Period.PERIOD_DAY,
  month: Period.PERIOD_MONTH,
};

function toPeriod(period: Period): BudgetPeriod {
  for (const [name, value] of Object.entries(PERIODS)) if (value === period) return name as BudgetPeriod;
  throw new Error(`validation let period ${period} pass`);
}

const DEFAULT_RANGE_MS = 86_400_000;

function toUsageQuery({ timeRange, step, groupBy }: GetUsageRequest, nowMs: number): UsageQuery {
  const endMs = timeRange?.end?.getTime() ?? nowMs;
  // An open beginning is that of the log.
  const startMs = timeRange === undefined ? endMs - DEFAULT_RANGE_MS : (timeRange.start?.getTime() ?? 0);
  if (endMs < startMs) throw new RouterError({ kind: "time_range_invalid" });
  return {
    startMs,
    endMs,
    stepMs: step === undefined ? undefined : durationToMillis(step),
    groupBy: groupBy.map(toDimension),
  };
}

const DIMENSIONS: Readonly<Record<Dimension, UsageDimension>> = {
  model: UsageDimension.USAGE_DIMENSION_MODEL,
  upstream: UsageDimension.USAGE_DIMENSION_UPSTREAM,
  task_type: UsageDimension.USAGE_DIMENSION_TASK_TYPE,
  agent: UsageDimension.USAGE_DIMENSION_AGENT,
  subject: UsageDimension.USAGE_DIMENSION_SUBJECT,
  run: UsageDimension.USAGE_DIMENSION_RUN,
};

function toDimension(dimension: UsageDimension): Dimension {
  for (const [name, value] of Object.entries(DIMENSIONS)) if (value === dimension) return name as Dimension;
  throw new Error(`validation let dimension ${dimension} pass`);
}

function fromRow({ startMs, group, spent, failedCalls }: UsageRow): GetUsageResponse_Row {
  return { startTime: new Date(startMs), group: [...group], usage: toUsage(spent), failedCalls: BigInt(failedCalls) };
}

function fromEvent(event: RouterEvent): GenerateResponse {
  switch (event.kind) {
    case "routed": {
      const { model, attempt, why, previous } = event;
      const degradation = previous && {
        dependency: previous.model,
        effect: "the answer is another model's",
        failure: toFailure(previous.error),
      };
      return {
        event: { $case: "routed", value: { model: model.name, upstream: model.upstream, attempt, why, degradation } },
      };
    }
    case "delta":
      return { event: { $case: "delta", value: event.delta } };
    case "tool_call":
      return { event: { $case: "toolCall", value: event.call } };
    case "end": {
      const { finishReason, stop, spent, timeToFirstTokenMs, elapsedMs } = event;
      return {
        event: {
          $case: "end",
          value: {
            finishReason,
            stop,
            usage: toUsage(spent),
            timeToFirstToken: timeToFirstTokenMs === undefined ? undefined : millisToDuration(timeToFirstTokenMs),
            elapsed: millisToDuration(elapsedMs),
          },
        },
      };
    }
  }
}

function fromKnown({ model, available, statistics }: KnownModel): ProtoModel {
  const { name, upstream, capabilities, contextTokens, price } = model;
  const median = statistics.medianTimeToFirstTokenMs;
  return {
    name,
    upstream,
    available,
    capabilities: [...capabilities].map((each) => PROTO_CAPABILITIES[each]).sort((a, b) => a - b),
    contextTokens,
    price: {
      inputMicroUsd: BigInt(price.inputMicroUsd),
      cachedInputMicroUsd: BigInt(price.cachedInputMicroUsd),
      outputMicroUsd: BigInt(price.outputMicroUsd),
    },
    medianTimeToFirstToken: median === undefined ? undefined : millisToDuration(median),
    errorRate: statistics.errorRate,
  };
}

function fromCandidate(candidate: Candidate): GetRoutingResponse_Candidate {
  return {
    model: fromKnown(candidate),
    eligible: candidate.eligible,
    expectedCostMicroUsd: BigInt(candidate.highestCostMicroUsd ?? 0),
    reasons: [...candidate.reasons],
  };
}

function fromBudget(status: BudgetStatus): ProtoBudget {
  const { budgetId, period, maxCostMicroUsd, maxTokens, used, resetMs, etag } = status;
  return {
    budgetId,
    period: PERIODS[period],
    maxCostMicroUsd: maxCostMicroUsd === undefined ? undefined : BigInt(maxCostMicroUsd),
    maxTokens: maxTokens === undefined ? undefined : BigInt(maxTokens),
    used: toUsage(used),
    resetTime: new Date(resetMs),
    etag,
  };
}
