import type { ServerHttp2Session } from "node:http2";
import type { ServerInterceptingCallInterface } from "@grpc/grpc-js";

/**
 * Members of grpc-js 1.14.7's base call that its types keep private. It has no other way to its connection, to the
 * encoding of a request or to an encoded response (deploy/decisions/0051); the tests of what they are used for fail
 * when a later version has moved them.
 */
export interface BaseCall {
  readonly stream?: { readonly session?: ServerHttp2Session };
  readonly incomingEncoding?: string;
  serializeMessage?(message: unknown): Buffer;
}

/** The innermost call that grpc-js hands to an interceptor. */
export function baseCall(call: ServerInterceptingCallInterface): BaseCall {
  return call as unknown as BaseCall;
}
