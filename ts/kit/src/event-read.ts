import { Event } from "@uait/gen/uait/event/v1/event.js";
import { streamName } from "./event-stream.js";
import type { NatsLink } from "./nats.js";
import { dependencyUnavailable } from "./status.js";

/** Which stored events to read. */
export interface ReadOptions {
  readonly area: string;
  readonly tenant: string;
  /** Name of the payload's field in proto, such as `model_call_finished`. */
  readonly event: string;
  /** Stored at this moment or later. */
  readonly since: Date;
  readonly signal: AbortSignal;
}

/**
 * The events of one kind that a tenant has in the log, in the order in which they were stored, up to the last that was there when
 * the reading began. Leaves no trace: it acknowledges nothing.
 *
 * @throws StatusError DEPENDENCY_UNAVAILABLE
 */
export async function* readEvents(link: NatsLink | undefined, options: ReadOptions): AsyncGenerator<Event> {
  const { area, tenant, event, since, signal } = options;
  if (link === undefined) throw dependencyUnavailable("nats");
  const stop = () => messages?.stop();
  let messages: { stop(): void } | undefined;
  try {
    const { client, manager } = await link.ready(signal);
    const { DeliverPolicy } = await import("@nats-io/jetstream");
    const stream = streamName(area);
    // A stream that nobody has made has no events.
    if (!(await exists(manager.streams.info(stream)))) return;
    const consumer = await client.consumers.get(stream, {
      filter_subjects: [`uait.${area}.${tenant}.${event}`],
      deliver_policy: DeliverPolicy.StartTime,
      opt_start_time: since.toISOString(),
    });
    if ((await consumer.info()).num_pending === 0) return;
    const reading = await consumer.consume();
    messages = reading;
    signal.addEventListener("abort", stop, { once: true });
    for await (const message of reading) {
      yield Event.decode(message.data);
      if (message.info.pending === 0) return;
    }
    throw signal.aborted ? signal.reason : new Error("the reading ended early");
  } catch (error) {
    throw dependencyUnavailable("nats", error);
  } finally {
    signal.removeEventListener("abort", stop);
    stop();
  }
}

async function exists(info: Promise<unknown>): Promise<boolean> {
  try {
    await info;
    return true;
  } catch (error) {
    if ((error as { readonly code?: unknown }).code === STREAM_NOT_FOUND) return false;
    throw error;
  }
}

// JetStreamApiCodes.StreamNotFound
const STREAM_NOT_FOUND = 10059;
