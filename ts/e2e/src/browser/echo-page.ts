/**
 * Runs in the browser: calls a server stream over gRPC-web and shows each message as it arrives.
 *
 * The address of the edge, the key and the number of messages come from the page's query string.
 */
import { EchoServiceDefinition } from "@uait/gen/uait/echo/v1/echo.js";
import { createChannel, createClient, FetchTransport, Metadata } from "nice-grpc-web";
import { need, show } from "./document.js";

await show(async (line) => {
  const client = createClient(EchoServiceDefinition, createChannel(need("edge"), FetchTransport()));
  const metadata = Metadata({ authorization: `Bearer ${need("key")}` });
  const request = {
    message: "hello from a browser",
    count: Number(need("count")),
    interval: { seconds: 0n, nanos: 50_000_000 },
  };
  for await (const { message, index, seen } of client.expand(request, { metadata })) {
    line(seen === undefined ? `${index}: ${message}` : `${index}: ${message}, says ${seen.service} to ${seen.tenant}`);
  }
});
