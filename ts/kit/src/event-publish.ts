import { setTimeout as delay } from "node:timers/promises";
import type { PubAck } from "@nats-io/jetstream";
import { Event } from "@uait/gen/uait/event/v1/event.js";
import type { KitConfig } from "./config.js";
import { requestEventId, uuidV7 } from "./event-id.js";
import { ensureStream, streamName } from "./event-stream.js";
import type { PublishedEvent, PublishOptions } from "./events.js";
import type { NatsLink } from "./nats.js";
import { cancelled, dependencyUnavailable, Status, StatusError } from "./status.js";
import { endSpan, formatTraceParent, SpanKind, type Telemetry } from "./telemetry.js";

interface PublishEnvironment extends PublishOptions {
  readonly link: NatsLink | undefined;
  readonly config: KitConfig;
  readonly telemetry: Telemetry;
}

const ATTEMPT_TIMEOUT_MS = 2000;
const FIRST_BACKOFF_MS = 50;
const MAX_BACKOFF_MS = 1000;

/** Stores an event in JetStream, trying until the caller's deadline with one and the same id. */
export async function publishEvent(options: PublishEnvironment): Promise<PublishedEvent> {
  const { area, config, telemetry, from } = options;
  const attributes = { "messaging.system": "nats", "messaging.destination.name": streamName(area) };
  const span = telemetry.startSpan(`publish ${streamName(area)}`, SpanKind.PRODUCER, attributes, from.span);
  let code: Status = Status.OK;
  try {
    const event = newEvent(options, formatTraceParent(span.spanContext()));
    span.setAttribute("uait.tenant", event.tenant);
    span.setAttribute("messaging.message.id", event.id);
    const ack = await publishUntil(options, event, from.deadlineMs ?? Date.now() + config.deadlineMs);
    telemetry.metrics.eventsPublished.inc({ area, outcome: ack.duplicate ? "duplicate" : "stored" });
    return { id: event.id, sequence: BigInt(ack.seq), duplicate: ack.duplicate };
  } catch (error) {
    code = error instanceof StatusError ? error.code : Status.INTERNAL;
    telemetry.metrics.eventsPublished.inc({ area, outcome: "failed" });
    throw error;
  } finally {
    endSpan(span, code, SpanKind.PRODUCER);
  }
}

function newEvent({ area, config, from, payload, requestId }: PublishEnvironment, traceparent: string): Event {
  const { tenant } = from.identity;
  const now = new Date();
  return {
    id:
      requestId === undefined
        ? uuidV7(now.getTime())
        : requestEventId({ service: config.service, area, tenant, requestId }),
    time: now,
    source: config.service,
    tenant,
    traceparent,
    payload,
  };
}

async function publishUntil(options: PublishEnvironment, event: Event, deadlineMs: number): Promise<PubAck> {
  const { area, from, link, payload } = options;
  if (link === undefined) throw dependencyUnavailable("nats");
  const subject = `uait.${area}.${event.tenant}.${snakeCase(payload.$case)}`;
  const data = Event.encode(event).finish();
  // A little before the caller's deadline, so that it hears UNAVAILABLE and why, not merely that time ran out.
  const margin = Math.min(100, (deadlineMs - Date.now()) / 10);
  const limit = AbortSignal.timeout(Math.max(1, Math.floor(deadlineMs - margin - Date.now())));
  const signal = AbortSignal.any([limit, from.signal]);
  let cause: unknown;
  for (let backoffMs = FIRST_BACKOFF_MS; ; backoffMs = Math.min(backoffMs * 2, MAX_BACKOFF_MS)) {
    try {
      const { client, manager } = await link.ready(signal);
      try {
        return await client.publish(subject, data, {
          msgID: event.id,
          timeout: Math.max(1, Math.min(ATTEMPT_TIMEOUT_MS, deadlineMs - margin - Date.now())),
        });
      } catch (error) {
        cause = error;
        if (isStreamMissing(error)) await ensureStream(manager, area);
      }
      await delay(backoffMs, undefined, { signal });
    } catch (error) {
      if (from.signal.aborted) throw cancelled(error);
      if (limit.aborted) throw dependencyUnavailable("nats", cause ?? error);
      cause = error;
      await delay(backoffMs);
    }
  }
}

// No stream has the subject: nobody answers the request for an acknowledgement.
function isStreamMissing(error: unknown): boolean {
  return error instanceof Error && error.name === "JetStreamNotEnabled";
}

function snakeCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
