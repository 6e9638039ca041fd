import { status } from "@grpc/grpc-js";

/**
 * A call's deadline. A server may reset the stream when it passes, as grpc-go does, and the reset may be read before the
 * caller's own timer fires. The other languages' libraries take such a reset for what it is; grpc-js says CANCELLED.
 */
export class Deadline {
  readonly #passesMs: number;

  constructor(deadlineMs: number) {
    this.#passesMs = performance.now() + deadlineMs;
  }

  /** What the code that a call ended with says. */
  code(came: number): number {
    return came === status.CANCELLED && performance.now() >= this.#passesMs ? status.DEADLINE_EXCEEDED : came;
  }
}
