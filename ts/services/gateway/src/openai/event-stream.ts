import { once } from "node:events";
import type { FastifyReply } from "fastify";
import type { HttpCall } from "./call.js";
import { openAiError } from "./error.js";

/** A server-sent event, or a comment that only keeps the connection awake. */
export type StreamItem = { readonly data: object | "[DONE]" } | { readonly comment: string };

const KEEP_AWAKE_MS = 15_000;

/** Sends events as they come, no faster than the caller reads; an error among them is the last event. */
export async function sendStream(reply: FastifyReply, items: AsyncIterable<StreamItem>, call: HttpCall): Promise<void> {
  const { raw } = reply.hijack();
  raw.writeHead(200, {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-cache",
    "x-accel-buffering": "no",
  });
  // A run may think for long; proxies and clients take silence for a broken connection.
  const awake = setInterval(() => raw.write(textOf({ comment: "still here" })), KEEP_AWAKE_MS);
  try {
    for await (const item of items) {
      awake.refresh();
      if (!raw.write(textOf(item))) await once(raw, "drain", { signal: call.signal });
    }
  } catch (error) {
    // The status is sent; the client libraries know an event with an error as one.
    if (!call.signal.aborted) raw.write(textOf({ data: openAiError(error).body }));
  } finally {
    clearInterval(awake);
  }
  raw.end();
}

function textOf(item: StreamItem): string {
  if ("comment" in item) return `: ${item.comment.replaceAll(/[\r\n]+/g, " ")}\n\n`;
  return `data: ${item.data === "[DONE]" ? item.data : JSON.stringify(item.data)}\n\n`;
}
