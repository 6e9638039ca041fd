/**
 * Runs in the browser: calls a server stream over gRPC-web and shows each message as it arrives.
 *
 * The address of the edge, the key and the number of messages come from the page's query string.
 */
import { EchoServiceDefinition } from "@uait/gen/uait/echo/v1/echo.js";
import { createChannel, createClient, FetchTransport, Metadata } from "nice-grpc-web";

const query = new URLSearchParams(location.search);
const need = (name: string): string => {
  const value = query.get(name);
  if (value === null) throw new Error(`the page's address lacks ?${name}=`);
  return value;
};

const list = document.querySelector("ol");
const status = document.querySelector("output");
if (list === null || status === null) throw new Error("the page lacks its elements");

try {
  const client = createClient(EchoServiceDefinition, createChannel(need("edge"), FetchTransport()));
  const metadata = Metadata({ authorization: `Bearer ${need("key")}` });
  const request = {
    message: "hello from a browser",
    count: Number(need("count")),
    interval: { seconds: 0n, nanos: 50_000_000 },
  };
  for await (const { message, index, seen } of client.expand(request, { metadata })) {
    const item = document.createElement("li");
    item.textContent =
      seen === undefined ? `${index}: ${message}` : `${index}: ${message}, says ${seen.service} to ${seen.tenant}`;
    item.dataset["at"] = String(performance.now());
    list.append(item);
  }
  status.textContent = "complete";
} catch (error) {
  status.textContent = String(error);
}
