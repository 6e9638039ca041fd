import { type EchoServiceImplementation, EchoServiceDefinition } from "@uait/gen/uait/echo/v1/echo.js";
import { type CallContext, createServer, type Metadata, type Server, ServerError, Status } from "nice-grpc";

/** A call as it reached the recorder. */
export interface RecordedCall {
  readonly method: string;
  readonly metadata: Metadata;
}

/** What the recorder does with a call, after it is recorded. */
export type Behaviour = (context: CallContext) => void;

/** An echo service that counts its calls and misbehaves as told: for what no well-behaved service shows of Envoy. */
export class Recorder {
  readonly calls: RecordedCall[] = [];
  behave: Behaviour = () => {};
  readonly #server: Server = createServer();
  #port = 0;

  static async start(): Promise<Recorder> {
    const recorder = new Recorder();
    recorder.#server.add(EchoServiceDefinition, recorder.#implementation());
    recorder.#port = await recorder.#server.listen("127.0.0.1:0");
    return recorder;
  }

  get address(): { host: string; port: number } {
    return { host: "127.0.0.1", port: this.#port };
  }

  /** The calls of one method so far. */
  of(method: string): RecordedCall[] {
    return this.calls.filter((call) => call.method === method);
  }

  async stop(): Promise<void> {
    this.#server.forceShutdown();
  }

  #record(method: string, context: CallContext): void {
    this.calls.push({ method, metadata: context.metadata });
    this.behave(context);
  }

  #implementation(): EchoServiceImplementation {
    const refuse = async (): Promise<never> => {
      throw new ServerError(Status.UNIMPLEMENTED, "only recorded");
    };
    return {
      echo: async ({ message }, context) => {
        this.#record("Echo", context);
        return { message };
      },
      publish: async (_, context) => {
        this.#record("Publish", context);
        return {};
      },
      collect: async (_, context) => {
        this.#record("Collect", context);
        return {};
      },
      relay: refuse,
      awaitEvent: refuse,
      awaitOutcome: refuse,
      async *expand() {
        await refuse();
      },
      async *converse() {
        await refuse();
      },
    };
  }
}

/** Fails every call with UNAVAILABLE. */
export const unavailable: Behaviour = () => {
  throw new ServerError(Status.UNAVAILABLE, "not now");
};
