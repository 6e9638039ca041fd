import type { Duration } from "@uait/gen/google/protobuf/duration.js";

/** Milliseconds of a `google.protobuf.Duration`; 0 when it is absent. */
export function durationToMillis(duration: Duration | undefined): number {
  return duration === undefined ? 0 : Number(duration.seconds) * 1000 + duration.nanos / 1e6;
}

/** `google.protobuf.Duration` of a time in milliseconds, to the nearest nanosecond. */
export function millisToDuration(ms: number): Duration {
  const seconds = Math.trunc(ms / 1000);
  return { seconds: BigInt(seconds), nanos: Math.round((ms - seconds * 1000) * 1e6) };
}
