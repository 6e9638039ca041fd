import { setTimeout as delay } from "node:timers/promises";
import type { Event } from "@uait/gen/uait/event/v1/event.js";
import { EVENT } from "./event-contract.js";
import { ensureStream, streamName } from "./event-stream.js";
import { describeError, type Logger } from "./log.js";
import type { NatsLink } from "./nats.js";
import { StatusError } from "./status.js";

interface ReplayOptions {
  readonly area: string;
  readonly handler: (event: Event) => void;
  readonly link: NatsLink;
  readonly log: Logger;
}

const RESTART_WAIT_MS = 500;

/**
 * Hands over every event of an area in the order of the stream, from its first, and then each as it is stored. It leaves
 * nothing behind in JetStream, so that each process sees the whole.
 */
export class ReplayLoop {
  readonly #options: ReplayOptions;
  readonly #stop = new AbortController();
  readonly #running: Promise<void>;
  #caughtUp: () => void = () => undefined;
  /** Resolved when everything that was stored when the stream was first seen has been handed over. */
  readonly caughtUp = new Promise<void>((resolve) => {
    this.#caughtUp = resolve;
  });
  /** Place of the last event that was handed over. */
  #seen = 0;
  /** Place of the last event that was stored when the stream was first seen. */
  #target: number | undefined;
  #end: (() => void) | undefined;

  constructor(options: ReplayOptions) {
    this.#options = options;
    this.#running = this.#run();
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    this.#end?.();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { area, log } = this.#options;
    const { signal } = this.#stop;
    while (!signal.aborted) {
      try {
        await this.#follow();
      } catch (error) {
        if (signal.aborted) return;
        log.warn("the replay goes on where it was", { area, seen: this.#seen, error: describeError(error) });
      }
      await delay(RESTART_WAIT_MS, undefined, { signal }).catch(() => undefined);
    }
  }

  async #follow(): Promise<void> {
    const { area, link } = this.#options;
    const { client, manager } = await link.ready(this.#stop.signal);
    await ensureStream(manager, area);
    const { state } = await manager.streams.info(streamName(area));
    // A stream whose events have all expired has a last place, and none that will come from before.
    this.#target ??= state.messages === 0 ? 0 : state.last_seq;
    this.#checkCaughtUp();
    const { DeliverPolicy } = await import("@nats-io/jetstream");
    const consumer = await client.consumers.get(streamName(area), {
      deliver_policy: DeliverPolicy.StartSequence,
      opt_start_seq: this.#seen + 1,
    });
    const messages = await consumer.consume();
    this.#end = () => messages.stop();
    if (this.#stop.signal.aborted) messages.stop();
    for await (const message of messages) {
      if (message.seq <= this.#seen) continue;
      this.#receive(message.data);
      this.#seen = message.seq;
      this.#checkCaughtUp();
    }
  }

  #receive(data: Uint8Array): void {
    const { area, handler, log } = this.#options;
    try {
      const event = EVENT.read(data);
      if (event instanceof StatusError) {
        log.error("an event that breaks its contract is left out", { area, error: event.message });
        return;
      }
      handler(event);
    } catch (error) {
      log.error("an event could not be replayed", { area, error: describeError(error) });
    }
  }

  #checkCaughtUp(): void {
    if (this.#target !== undefined && this.#seen >= this.#target) this.#caughtUp();
  }
}
