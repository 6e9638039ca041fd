import { type EchoServiceClient, EchoServiceDefinition } from "@uait/gen/uait/echo/v1/echo.js";
import { type Channel, createChannel, createClient, Metadata } from "nice-grpc";

/** A client of an echo service and the channel it calls through. */
export interface Echo {
  readonly client: EchoServiceClient;
  close(): void;
}

/** Connects to host:port; every call carries the tenant `acme` and, where given, the name of the service meant. */
export function echoAt(address: string, service?: string): Echo {
  const channel: Channel = createChannel(address);
  const metadata = Metadata({
    "x-uait-tenant": "acme",
    ...(service === undefined ? {} : { "x-uait-service": service }),
  });
  const client: EchoServiceClient = createClient(EchoServiceDefinition, channel, { "*": { metadata } });
  return { client, close: () => channel.close() };
}
