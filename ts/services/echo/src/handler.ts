import { setTimeout as delay } from "node:timers/promises";
import {
  type Behaviour,
  EchoServiceDefinition,
  type EchoServiceImplementation,
  type Seen,
} from "@uait/gen/uait/echo/v1/echo.js";
import type { Event } from "@uait/gen/uait/event/v1/event.js";
import {
  durationToMillis,
  type EventContext,
  type Events,
  type KitContext,
  type Mesh,
  millisToDuration,
  type ServerCallContext,
  Status,
} from "@uait/kit";
import { type Misbehaviour, misbehave } from "./misbehaviour.js";
import type { Outcomes } from "./outcomes.js";
import type { ReceivedEvents } from "./received-events.js";

/** Area of the event log that echo services publish to. */
export const EVENT_AREA = "echo";

export interface HandlerOptions {
  readonly service: string;
  readonly instance: string;
  readonly mesh: Mesh;
  readonly events: Events;
  readonly outcomes: Outcomes;
  readonly received: ReceivedEvents;
  /** Unix time in milliseconds. */
  readonly now: () => number;
}

/** The handlers of EchoService. */
export function createHandler(options: HandlerOptions): EchoServiceImplementation<ServerCallContext> {
  const { service, instance, mesh, events, outcomes, received, now } = options;
  const echo = mesh.client(EchoServiceDefinition);

  function see({ identity, span, deadlineMs }: KitContext): Seen {
    return {
      service,
      instance,
      tenant: identity.tenant,
      subject: identity.subject,
      scopes: [...identity.scopes],
      traceId: span.traceId,
      spanId: span.spanId,
      timeLeft: deadlineMs === undefined ? undefined : millisToDuration(Math.max(0, deadlineMs - now())),
    };
  }

  function recordOutcome(callId: string, context: KitContext): void {
    if (callId === "") return;
    context.onEnd((code) => {
      outcomes.record(context.identity.tenant, callId, { code: Status[code], endedAt: new Date(now()) });
    });
  }

  return {
    async echo({ message, payload, callId, behaviour }, context) {
      const seen = see(context);
      recordOutcome(callId, context);
      if (behaviour !== undefined) {
        for (const [key, value] of Object.entries(behaviour.trailers)) context.trailer.set(key, value);
        await misbehave(toMisbehaviour(behaviour), context.signal);
      }
      return { message, payload, seen };
    },

    async collect(requests, context) {
      const seen = see(context);
      const messages: string[] = [];
      for await (const { message } of requests) messages.push(message);
      return { message: messages.join(" "), count: messages.length, seen };
    },

    async *expand({ message, count, interval, callId }, context) {
      const seen = see(context);
      recordOutcome(callId, context);
      const intervalMs = durationToMillis(interval);
      for (let index = 0; index < count; index++) {
        if (index > 0 && intervalMs > 0) await delay(intervalMs, undefined, { signal: context.signal });
        context.signal.throwIfAborted();
        yield index === 0 ? { message, index, seen } : { message, index };
      }
    },

    async *converse(requests, context) {
      const seen = see(context);
      let index = 0;
      for await (const { message } of requests) {
        yield index === 0 ? { message, index, seen } : { message, index };
        index++;
      }
    },

    async relay({ message, route }, context) {
      const seen = see(context);
      const [next, ...rest] = route;
      if (next === undefined) return { message, hops: [seen] };
      const answer = await echo.relay({ message, route: rest }, { from: context, service: next });
      return { message: answer.message, hops: [seen, ...answer.hops] };
    },

    async publish({ message, requestId }, context) {
      const { id, sequence, duplicate } = await events.publish({
        area: EVENT_AREA,
        payload: { $case: "echoed", value: { message } },
        requestId,
        from: context,
      });
      return { eventId: id, sequence, duplicate };
    },

    async awaitEvent({ eventId }, context) {
      return await received.wait(context.identity.tenant, eventId, context.signal);
    },

    async awaitOutcome({ callId }, context) {
      return await outcomes.wait(context.identity.tenant, callId, context.signal);
    },
  };
}

/** Handles the events of the echo area. */
export function createEventHandler(received: ReceivedEvents): (event: Event, context: EventContext) => void {
  return ({ id, tenant, source, payload }, { span }) => {
    if (payload?.$case !== "echoed") return;
    received.record(tenant, id, { message: payload.value.message, traceId: span.traceId, source });
  };
}

function toMisbehaviour({ delay, failure }: Behaviour): Misbehaviour {
  const delayMs = durationToMillis(delay);
  switch (failure?.$case) {
    case "missing":
      return { delayMs, missing: failure.value };
    case "crash":
      return { delayMs, crash: failure.value };
    case undefined:
      return { delayMs };
  }
}
