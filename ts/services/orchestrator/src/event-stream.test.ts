import { expect, test } from "vitest";
import { EventStream, type Numbered } from "./event-stream.js";

const never = new AbortController().signal;
const open = () => new EventStream<string>({ now: () => 5 });

async function all(events: AsyncIterable<Numbered<string>>): Promise<string[]> {
  const found: string[] = [];
  for await (const { sequence, event } of events) found.push(`${sequence} ${event}`);
  return found;
}

test("events_before_and_after_the_listener_came_are_heard_in_order", async () => {
  const stream = open();
  stream.append("a");
  const heard = all(stream.listen(0n, never));
  stream.append("b");
  await new Promise(setImmediate);
  stream.append("c");
  stream.end();
  expect(await heard).toEqual(["1 a", "2 b", "3 c"]);
});

test("listener_that_comes_back_hears_what_it_missed", async () => {
  const stream = open();
  for (const event of ["a", "b", "c"]) stream.append(event);
  stream.end();
  expect(await all(stream.listen(2n, never))).toEqual(["3 c"]);
  expect(await all(stream.listen(3n, never))).toEqual([]);
});

test("pieces_are_forgotten_with_their_attempt_and_their_numbers_skipped", async () => {
  const stream = open();
  stream.append("node");
  const listening = all(stream.listen(0n, never));
  stream.append("piece", "n1");
  stream.append("other piece", "n2");
  stream.append("score");
  stream.forgetPieces("n1");
  stream.end();
  expect(await listening).toEqual(["1 node", "2 piece", "3 other piece", "4 score"]);
  expect(await all(stream.listen(0n, never))).toEqual(["1 node", "3 other piece", "4 score"]);
});

test("failure_comes_after_the_last_event", async () => {
  const stream = open();
  stream.append("a");
  stream.end(new Error("failed"));
  const heard: string[] = [];
  await expect(async () => {
    for await (const { event } of stream.listen(0n, never)) heard.push(event);
  }).rejects.toThrow("failed");
  expect(heard).toEqual(["a"]);
});

test("listener_whose_signal_is_aborted_ends_and_others_go_on", async () => {
  const stream = open();
  const abort = new AbortController();
  const leaving = all(stream.listen(0n, abort.signal));
  const staying = all(stream.listen(0n, never));
  await new Promise(setImmediate);
  abort.abort(new Error("gone"));
  await expect(leaving).rejects.toThrow("gone");
  stream.append("a");
  stream.end();
  expect(await staying).toEqual(["1 a"]);
});
