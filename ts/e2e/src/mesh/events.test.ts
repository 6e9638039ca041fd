/** What one language publishes, each other language handles once, in the same trace. */
import { type EchoServiceClient, EchoServiceDefinition } from "@uait/gen/uait/echo/v1/echo.js";
import { type Channel, createChannel, createClient, Metadata } from "nice-grpc";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { servers } from "../conformance/languages.js";
import { Mesh } from "./mesh.js";

let mesh: Mesh;
let channel: Channel;

beforeAll(async () => {
  mesh = await Mesh.open();
  channel = createChannel(mesh.edge);
});

afterAll(() => channel.close());

const client = (service: string): EchoServiceClient =>
  createClient(EchoServiceDefinition, channel, {
    "*": { metadata: Metadata({ ...mesh.authorization, "x-uait-service": service }) },
  });

describe.each(servers.map(({ name }) => name))("published by %s", (producer) => {
  test("event_is_handled_once_by_every_language_in_the_trace_of_its_publish", async () => {
    const requestId = `${producer}-${Date.now()}`;
    const traceId = [...crypto.getRandomValues(new Uint8Array(16))]
      .map((byte) => byte.toString(16).padStart(2, "0"))
      .join("");
    const { eventId } = await client(producer).publish(
      { message: "to whom it may concern", requestId },
      {
        metadata: Metadata({
          ...mesh.authorization,
          "x-uait-service": producer,
          traceparent: `00-${traceId}-00f067aa0ba902b7-01`,
        }),
      },
    );
    for (const { name } of servers) {
      const heard = await client(name).awaitEvent({ eventId }, { signal: AbortSignal.timeout(10_000) });
      expect(heard, `handled by ${name}`).toEqual({
        message: "to whom it may concern",
        traceId,
        handled: 1,
        source: producer,
      });
    }
  });
});
