import type { JetStreamManager } from "@nats-io/jetstream";

/** Stream of an area: `UAIT_<AREA>`. */
export function streamName(area: string): string {
  return `UAIT_${area.toUpperCase().replaceAll("-", "_")}`;
}

/** Subjects of an area: `uait.<area>.>`. */
export function streamSubjects(area: string): string {
  return `uait.${area}.>`;
}

// JSStreamNameExistErr: the stream exists with another configuration, such as more replicas in a cluster.
const STREAM_EXISTS = 10058;

const NANOS_PER_SECOND = 1_000_000_000;

/** Makes the stream of an area unless somebody has. */
export async function ensureStream(manager: JetStreamManager, area: string): Promise<void> {
  const { DiscardPolicy, JetStreamApiError, RetentionPolicy, StorageType } = await import("@nats-io/jetstream");
  try {
    await manager.streams.add({
      name: streamName(area),
      subjects: [streamSubjects(area)],
      storage: StorageType.File,
      retention: RetentionPolicy.Limits,
      discard: DiscardPolicy.Old,
      duplicate_window: 10 * 60 * NANOS_PER_SECOND,
      max_age: 30 * 24 * 3600 * NANOS_PER_SECOND,
    });
  } catch (error) {
    if (!(error instanceof JetStreamApiError && error.code === STREAM_EXISTS)) throw error;
  }
}

/** Makes the durable consumer of a service on an area's stream, or brings it up to date. */
export async function ensureConsumer(manager: JetStreamManager, area: string, service: string): Promise<void> {
  const { AckPolicy, DeliverPolicy } = await import("@nats-io/jetstream");
  await manager.consumers.add(streamName(area), {
    durable_name: service,
    deliver_policy: DeliverPolicy.All,
    ack_policy: AckPolicy.Explicit,
    ack_wait: ACK_WAIT_SECONDS * NANOS_PER_SECOND,
    max_ack_pending: MAX_IN_FLIGHT,
    max_deliver: -1,
  });
}

export const ACK_WAIT_SECONDS = 30;
/** Events of one consumer that are delivered and not acknowledged. */
export const MAX_IN_FLIGHT = 256;
