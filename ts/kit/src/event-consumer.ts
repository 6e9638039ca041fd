import { setTimeout as delay } from "node:timers/promises";
import type { ConsumerMessages, JsMsg } from "@nats-io/jetstream";
import type { Event } from "@uait/gen/uait/event/v1/event.js";
import type { KitConfig } from "./config.js";
import { EVENT } from "./event-contract.js";
import { ACK_WAIT_SECONDS, ensureConsumer, ensureStream, MAX_IN_FLIGHT, streamName } from "./event-stream.js";
import type { EventHandler } from "./events.js";
import { describeError } from "./log.js";
import type { NatsLink } from "./nats.js";
import { Status, StatusError } from "./status.js";
import { endSpan, readTraceParent, SpanKind, type Telemetry } from "./telemetry.js";

interface ConsumerOptions {
  readonly area: string;
  readonly handler: EventHandler;
  readonly link: NatsLink;
  readonly config: KitConfig;
  readonly telemetry: Telemetry;
}

const REMEMBERED_IDS = 10_000;
const FIRST_RETRY_MS = 100;
const MAX_RETRY_MS = 30_000;
const RESTART_WAIT_MS = 500;
const PULL_EXPIRES_MS = 10_000;

/** The durable consumer of one area: handles each event once, until it is stopped. */
export class ConsumerLoop {
  readonly #options: ConsumerOptions;
  readonly #stop = new AbortController();
  readonly #handled = new RecentIds(REMEMBERED_IDS);
  readonly #inProgress = new Map<string, Promise<void>>();
  readonly #running: Promise<void>;
  #messages: ConsumerMessages | undefined;

  constructor(options: ConsumerOptions) {
    this.#options = options;
    this.#running = this.#run();
  }

  /** Takes no more events, and returns when those in hand have been handled or given back. */
  async stop(): Promise<void> {
    this.#stop.abort();
    this.#messages?.stop();
    await this.#running;
    await Promise.allSettled(this.#inProgress.values());
  }

  async #run(): Promise<void> {
    const { area, config, link, telemetry } = this.#options;
    const { signal } = this.#stop;
    while (!signal.aborted) {
      try {
        const { client, manager } = await link.ready(signal);
        await ensureStream(manager, area);
        await ensureConsumer(manager, area, config.service);
        const consumer = await client.consumers.get(streamName(area), config.service);
        this.#messages = await consumer.consume({
          max_messages: MAX_IN_FLIGHT,
          expires: PULL_EXPIRES_MS,
          abort_on_missing_resource: true,
        });
        if (signal.aborted) this.#messages.stop();
        for await (const message of this.#messages) this.#receive(message);
      } catch (error) {
        if (signal.aborted) return;
        telemetry.log.warn("the consumer starts again", { area, error: describeError(error) });
      }
      await delay(RESTART_WAIT_MS, undefined, { signal }).catch(() => undefined);
    }
  }

  #receive(message: JsMsg): void {
    const { area, telemetry } = this.#options;
    const event = EVENT.read(message.data);
    if (event instanceof StatusError) {
      // No redelivery will mend it, and retrying for ever would hide the events behind it.
      telemetry.log.error("an event that breaks its contract is dropped", { area, error: event.message });
      telemetry.metrics.eventsHandled.inc({ area, outcome: "failed" });
      message.term("breaks its contract");
      return;
    }
    if (this.#handled.has(event.id)) {
      telemetry.metrics.eventsHandled.inc({ area, outcome: "duplicate" });
      message.ack();
      return;
    }
    // Delivered again while its handler still runs: that one's acknowledgement will settle both.
    if (this.#inProgress.has(event.id)) return;
    const work = this.#handle(event, message).finally(() => this.#inProgress.delete(event.id));
    this.#inProgress.set(event.id, work);
  }

  async #handle(event: Event, message: JsMsg): Promise<void> {
    const { area, handler, telemetry } = this.#options;
    const attributes = {
      "messaging.system": "nats",
      "messaging.destination.name": streamName(area),
      "messaging.message.id": event.id,
      "uait.tenant": event.tenant,
    };
    const parent = readTraceParent(event.traceparent);
    const span = telemetry.startSpan(`process ${streamName(area)}`, SpanKind.CONSUMER, attributes, parent);
    const { traceId, spanId } = span.spanContext();
    const log = telemetry.log.with({ trace_id: traceId, span_id: spanId, tenant: event.tenant, event: event.id });
    const stillWorking = setInterval(() => message.working(), (ACK_WAIT_SECONDS * 1000) / 3);
    let code: Status = Status.OK;
    try {
      const identity = { tenant: event.tenant, subject: "", scopes: [] };
      await handler(event, {
        identity,
        span: span.spanContext(),
        signal: this.#stop.signal,
        deadlineMs: undefined,
        log,
      });
      this.#handled.add(event.id);
      message.ack();
      telemetry.metrics.eventsHandled.inc({ area, outcome: "handled" });
    } catch (error) {
      code = Status.INTERNAL;
      const retryMs = retryDelayMs(message.info.deliveryCount);
      log.error("the event handler failed", { retry_ms: retryMs, error: describeError(error) });
      message.nak(retryMs);
      telemetry.metrics.eventsHandled.inc({ area, outcome: "failed" });
    } finally {
      clearInterval(stillWorking);
      endSpan(span, code, SpanKind.CONSUMER);
    }
  }
}

/** Time until delivery `attempt` + 1, where attempts count from 1. */
export function retryDelayMs(attempt: number): number {
  return Math.min(MAX_RETRY_MS, FIRST_RETRY_MS * 2 ** (attempt - 1));
}

/** The last `capacity` ids that were added. */
export class RecentIds {
  readonly #ids = new Set<string>();
  readonly #capacity: number;

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  has(id: string): boolean {
    return this.#ids.has(id);
  }

  add(id: string): void {
    this.#ids.delete(id);
    this.#ids.add(id);
    if (this.#ids.size <= this.#capacity) return;
    // A Set iterates in the order of insertion.
    for (const oldest of this.#ids) {
      this.#ids.delete(oldest);
      return;
    }
  }
}
