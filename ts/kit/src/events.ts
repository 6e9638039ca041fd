import type { Event } from "@uait/gen/uait/event/v1/event.js";
import { AbsentBucket, type Bucket, type BucketOptions, NatsBucket } from "./bucket.js";
import type { KitConfig } from "./config.js";
import { ConsumerLoop } from "./event-consumer.js";
import { publishEvent } from "./event-publish.js";
import { type ReadOptions, readEvents } from "./event-read.js";
import { ReplayLoop } from "./event-replay.js";
import type { Identity } from "./identity.js";
import type { Logger } from "./log.js";
import { NatsLink } from "./nats.js";
import type { KitContext } from "./service.js";
import type { SpanContext, Telemetry } from "./telemetry.js";

/** What happened: one case of `uait.event.v1.Event.payload`. */
export type EventPayload = NonNullable<Event["payload"]>;

export interface PublishOptions {
  /** The producing service's area, such as `echo`. */
  readonly area: string;
  readonly payload: EventPayload;
  /** Makes a repeat of the request publish the same event. */
  readonly requestId?: string;
  /** The call that makes it happen: its tenant, deadline, cancellation and trace. */
  readonly from: Pick<KitContext, "identity" | "deadlineMs" | "signal" | "span">;
}

export interface PublishedEvent {
  readonly id: string;
  /** Position in the stream, from 1. */
  readonly sequence: bigint;
  /** Whether JetStream had it already. */
  readonly duplicate: boolean;
}

/** What a handler is told beside the event. */
export interface EventContext {
  readonly identity: Identity;
  /** The span in which the event is handled, of the publisher's trace. */
  readonly span: SpanContext;
  /** Aborted when the service stops. */
  readonly signal: AbortSignal;
  readonly deadlineMs: undefined;
  readonly log: Logger;
}

/** Handles one event; a failure is retried until it succeeds. */
export type EventHandler = (event: Event, context: EventContext) => Promise<void> | void;

/** The event log as a service sees it. */
export interface Events {
  /** `off` when UAIT_NATS_URL is. */
  readonly state: "up" | "down" | "off";
  onChange(listener: () => void): void;
  /** Returns when JetStream has stored the event. @throws StatusError UNAVAILABLE when it has not by the deadline. */
  publish(options: PublishOptions): Promise<PublishedEvent>;
  /** Handles each event of an area once, by a durable consumer named after the service. */
  consume(area: string, handler: EventHandler): void;
  close(): Promise<void>;
}

/** The event log with what else a service may keep in JetStream. */
export interface EventLog extends Events {
  /** Opens a bucket of values by key, made where there is none. */
  bucket<Value>(options: BucketOptions<Value>): Bucket<Value>;
  /** Reads events that are stored, oldest first. @throws StatusError DEPENDENCY_UNAVAILABLE */
  read(options: ReadOptions): AsyncIterable<Event>;
  /**
   * Hands over every event of an area, the oldest first, and then each as it is stored, to every process that asks.
   * Returns when all that was stored before has been handed over: at once where the event log is off.
   */
  replay(area: string, handler: (event: Event) => void): Promise<void>;
}

/** Opens the event log at UAIT_NATS_URL. Returns at once: NATS may come later. */
export function openEvents(options: { readonly config: KitConfig; readonly telemetry: Telemetry }): EventLog {
  const { config, telemetry } = options;
  const url = config.natsUrl;
  const link = url === undefined ? undefined : new NatsLink({ url, name: config.instance, log: telemetry.log });
  const consumers: ConsumerLoop[] = [];
  const buckets: { stop(): void }[] = [];
  const replays: ReplayLoop[] = [];
  return {
    get state() {
      if (link === undefined) return "off";
      return link.up ? "up" : "down";
    },
    onChange(listener) {
      link?.onChange(listener);
    },
    publish: (publish) => publishEvent({ ...publish, link, config, telemetry }),
    consume(area, handler) {
      if (link !== undefined) consumers.push(new ConsumerLoop({ area, handler, link, config, telemetry }));
    },
    bucket(bucket) {
      if (link === undefined) return new AbsentBucket();
      const opened = new NatsBucket({ ...bucket, link, log: telemetry.log });
      buckets.push(opened);
      return opened;
    },
    async replay(area, handler) {
      if (link === undefined) return;
      const replay = new ReplayLoop({ area, handler, link, log: telemetry.log });
      replays.push(replay);
      await replay.caughtUp;
    },
    read: (read) => readEvents(link, read),
    async close() {
      for (const bucket of buckets) bucket.stop();
      await Promise.all([...consumers, ...replays].map((loop) => loop.stop()));
      await link?.close();
    },
  };
}
