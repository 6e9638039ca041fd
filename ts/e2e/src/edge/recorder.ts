import { EchoServiceDefinition, type EchoServiceImplementation } from "@uait/gen/uait/echo/v1/echo.js";
import { type CallContext, createServer, type Metadata, type Server, ServerError, Status } from "nice-grpc";
import { HealthDefinition, HealthServiceImpl } from "nice-grpc-server-health";

/** A call as it reached the recorder. */
export interface RecordedCall {
  readonly method: string;
  readonly metadata: Metadata;
}

/** What the recorder does with a call, after it is recorded. */
export type Behaviour = (context: CallContext) => void;

/** An echo service that counts its calls and misbehaves as told: for what no well-behaved service shows of Envoy. */
export class Recorder {
  behave: Behaviour = () => {};

  private constructor(
    private readonly server: Server,
    /** The calls so far. */
    readonly calls: readonly RecordedCall[],
    readonly address: { readonly host: string; readonly port: number },
  ) {}

  static async start(): Promise<Recorder> {
    const server = createServer();
    const calls: RecordedCall[] = [];
    const record = (method: string, context: CallContext): void => {
      calls.push({ method, metadata: context.metadata });
      recorder.behave(context);
    };
    server.add(EchoServiceDefinition, implementation(record));
    server.add(HealthDefinition, HealthServiceImpl());
    const host = "127.0.0.1";
    const recorder: Recorder = new Recorder(server, calls, { host, port: await server.listen(`${host}:0`) });
    return recorder;
  }

  /** The calls of one method so far. */
  of(method: string): RecordedCall[] {
    return this.calls.filter((call) => call.method === method);
  }

  async stop(): Promise<void> {
    this.server.forceShutdown();
  }
}

/** Fails every call with UNAVAILABLE. */
export const unavailable: Behaviour = () => {
  throw new ServerError(Status.UNAVAILABLE, "not now");
};

function implementation(record: (method: string, context: CallContext) => void): EchoServiceImplementation {
  const refuse = (): never => {
    throw new ServerError(Status.UNIMPLEMENTED, "only recorded");
  };
  return {
    echo: async ({ message }, context) => {
      record("Echo", context);
      return { message };
    },
    publish: async (_, context) => {
      record("Publish", context);
      return {};
    },
    collect: async (_, context) => {
      record("Collect", context);
      return {};
    },
    relay: refuse,
    awaitEvent: refuse,
    awaitOutcome: refuse,
    expand: refuse,
    converse: refuse,
  };
}
