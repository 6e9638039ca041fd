import { setTimeout as delay } from "node:timers/promises";
import type { JetStreamClient, JetStreamManager } from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/transport-node";
import { describeError, type Logger } from "./log.js";

const CONNECT_TIMEOUT_MS = 2000;
const RECONNECT_WAIT_MS = 200;
const REQUEST_TIMEOUT_MS = 2000;

/** A connection to JetStream with what is used of it. */
export interface JetStream {
  readonly connection: NatsConnection;
  readonly client: JetStreamClient;
  readonly manager: JetStreamManager;
}

/** Keeps a connection to NATS for ever: it comes up whenever NATS does, and says whether it is up. */
export class NatsLink {
  readonly #url: string;
  readonly #name: string;
  readonly #log: Logger;
  readonly #stop = new AbortController();
  readonly #listeners = new Set<(up: boolean) => void>();
  readonly #waiters = new Set<() => void>();
  #jetStream: JetStream | undefined;
  #up = false;

  constructor(options: { readonly url: string; readonly name: string; readonly log: Logger }) {
    this.#url = options.url;
    this.#name = options.name;
    this.#log = options.log;
    void this.#connect();
  }

  get up(): boolean {
    return this.#up;
  }

  /** Calls back whenever the connection comes or goes, until what is returned is called. */
  onChange(listener: (up: boolean) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** The connection, as soon as it is up. @throws the signal's reason when that comes first. */
  async ready(signal: AbortSignal): Promise<JetStream> {
    for (;;) {
      signal.throwIfAborted();
      if (this.#up && this.#jetStream !== undefined) return this.#jetStream;
      await this.#change(signal);
    }
  }

  /** Sends what is buffered and closes. */
  async close(): Promise<void> {
    this.#stop.abort();
    const connection = this.#jetStream?.connection;
    if (connection === undefined || connection.isClosed()) return;
    if (this.#up) await connection.flush().catch(() => undefined);
    await connection.close();
  }

  #change(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        this.#waiters.delete(done);
        signal.removeEventListener("abort", done);
        resolve();
      };
      this.#waiters.add(done);
      signal.addEventListener("abort", done);
    });
  }

  async #connect(): Promise<void> {
    const [{ connect }, { jetstream, jetstreamManager }] = await Promise.all([
      import("@nats-io/transport-node"),
      import("@nats-io/jetstream"),
    ]);
    let complained = false;
    while (!this.#stop.signal.aborted) {
      try {
        const connection = await connect({
          servers: this.#url,
          name: this.#name,
          timeout: CONNECT_TIMEOUT_MS,
          maxReconnectAttempts: -1,
          reconnectTimeWait: RECONNECT_WAIT_MS,
          ignoreClusterUpdates: true,
        });
        if (this.#stop.signal.aborted) return await connection.close();
        this.#jetStream = {
          connection,
          client: jetstream(connection, { timeout: REQUEST_TIMEOUT_MS }),
          manager: await jetstreamManager(connection, { timeout: REQUEST_TIMEOUT_MS, checkAPI: false }),
        };
        this.#set(true);
        await this.#watch(connection);
      } catch (error) {
        if (!complained) this.#log.warn("nats is away", { url: this.#url, error: describeError(error) });
        complained = true;
        await delay(RECONNECT_WAIT_MS, undefined, { signal: this.#stop.signal }).catch(() => undefined);
      }
    }
  }

  // The client reconnects by itself and for ever; this ends when the connection has been closed for good.
  async #watch(connection: NatsConnection): Promise<void> {
    for await (const status of connection.status()) {
      if (status.type === "disconnect") this.#set(false);
      else if (status.type === "reconnect") this.#set(true);
    }
    this.#set(false);
  }

  #set(up: boolean): void {
    if (this.#up === up) return;
    this.#up = up;
    this.#log.info(up ? "nats is up" : "nats is down", { url: this.#url });
    for (const listener of this.#listeners) listener(up);
    for (const done of [...this.#waiters]) done();
  }
}
