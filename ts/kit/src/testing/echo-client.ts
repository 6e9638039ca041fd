import { EchoServiceDefinition } from "@uait/gen/uait/echo/v1/echo.js";
import type { Channel, Client } from "nice-grpc";
import { createChannel, createClient } from "nice-grpc";
import { ClientError, Metadata } from "nice-grpc-common";
import type { ErrorCode } from "../status.js";
import { STATUS_DETAILS_KEY, StatusError } from "../status.js";

/** A plain client, without the kit. */
export interface TestClient {
  readonly echo: Client<typeof EchoServiceDefinition>;
  readonly channel: Channel;
  /** Metadata of a call of the tenant `acme`, with more of it. */
  metadata(more?: Readonly<Record<string, string>>): Metadata;
}

export function openTestClient(address: string): TestClient {
  const channel = createChannel(address, undefined, {
    "grpc.use_local_subchannel_pool": 1,
    "grpc.max_receive_message_length": -1,
  });
  return {
    channel,
    echo: createClient(EchoServiceDefinition, channel),
    metadata: (more = {}) => Metadata({ "x-uait-tenant": "acme", ...more }),
  };
}

type Call<Response> = (options: { readonly onTrailer: (trailer: Metadata) => void }) => Promise<Response>;

/** The status with which a call fails, with its details. @throws Error when it does not. */
export async function failureOf(call: Call<unknown>): Promise<StatusError> {
  let details: Uint8Array | undefined;
  try {
    await call({
      onTrailer: (trailer) => {
        details = trailer.get(STATUS_DETAILS_KEY);
      },
    });
  } catch (error) {
    if (error instanceof ClientError) return StatusError.received(error.code as ErrorCode, error.details, details);
    throw error;
  }
  throw new Error("the call did not fail");
}

/** All that a stream says. */
export async function drainStream<Item>(stream: AsyncIterable<Item>): Promise<Item[]> {
  const items: Item[] = [];
  for await (const item of stream) items.push(item);
  return items;
}
