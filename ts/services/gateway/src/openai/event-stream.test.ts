import { createServer, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { waitUntil } from "@uait/kit/testing";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { type StreamItem, sendStream } from "./event-stream.js";

let server: Server;
let url: string;
let answer: (response: ServerResponse) => void = () => undefined;
beforeEach(async () => {
  server = createServer((_, response) => answer(response));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterEach(async () => {
  vi.useRealTimers();
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

const send = (items: () => AsyncIterable<StreamItem>) => {
  answer = (raw) => {
    const signal = new AbortController().signal;
    void sendStream({ hijack: () => ({ raw }) } as never, items(), { signal } as never);
  };
};

test("items_are_events_and_comments_of_one_line", async () => {
  send(async function* () {
    yield { data: { a: "x\ny" } };
    yield { comment: "two\nlines" };
    yield { data: "[DONE]" };
  });
  expect(await (await fetch(url)).text()).toBe('data: {"a":"x\\ny"}\n\n: two lines\n\ndata: [DONE]\n\n');
});

test("error_is_the_last_event", async () => {
  send(async function* () {
    yield { data: { a: 1 } };
    throw new Error("a cause that nobody outside reads");
  });
  const [, last = ""] = (await (await fetch(url)).text()).split("\n\n");
  expect(JSON.parse(last.slice("data: ".length))).toMatchObject({
    error: { message: "internal error", code: "internal" },
  });
});

test("silence_is_broken_by_comments", async () => {
  let release = (): void => undefined;
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  vi.useFakeTimers({ toFake: ["setInterval", "clearInterval"] });
  send(async function* () {
    yield { data: { a: 1 } };
    await held;
    yield { data: "[DONE]" };
  });
  const response = await fetch(url);
  let text = "";
  const reading = (async () => {
    for await (const piece of response.body ?? []) text += Buffer.from(piece).toString();
  })();
  await waitUntil("the first event is there", () => text.includes("data"));
  vi.advanceTimersByTime(31_000);
  await waitUntil("the comments are there", () => text.split(": still here\n\n").length === 3);
  release();
  await reading;
  expect(text.endsWith("data: [DONE]\n\n")).toBe(true);
});
