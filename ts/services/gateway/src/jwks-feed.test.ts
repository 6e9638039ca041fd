import { expect, test } from "vitest";
import { JwksFeed } from "./jwks-feed.js";

const never = new AbortController().signal;
const FOR_EVER = 60_000;

test("spread_ends_when_both_listeners_have_fetched", async () => {
  const feed = new JwksFeed({ read: async () => ({ keys: [] }), spreadMs: FOR_EVER });
  await feed.fetch();
  let spread = false;
  const spreading = feed.spread(never).then(() => {
    spread = true;
  });
  await feed.fetch();
  await new Promise(setImmediate);
  expect(spread).toBe(false);
  await feed.fetch();
  await spreading;
});

test("fetch_that_began_before_the_key_was_made_does_not_count", async () => {
  let answer = (): void => undefined;
  const read = () =>
    new Promise<{ keys: [] }>((resolve) => {
      answer = () => resolve({ keys: [] });
    });
  const feed = new JwksFeed({ read, spreadMs: FOR_EVER });
  const before = feed.fetch();
  let spread = false;
  const spreading = feed.spread(never).then(() => {
    spread = true;
  });
  answer();
  await before;
  for (const expected of [false, true]) {
    const fetching = feed.fetch();
    answer();
    await fetching;
    await new Promise(setImmediate);
    expect(spread).toBe(expected);
  }
  await spreading;
});

test("spread_ends_with_its_time_or_its_caller", async () => {
  await new JwksFeed({ read: async () => undefined, spreadMs: 1 }).spread(never);
  await new JwksFeed({ read: async () => undefined, spreadMs: FOR_EVER }).spread(AbortSignal.timeout(1));
});

test("fetch_of_a_set_that_is_not_known_tells_nobody_anything", async () => {
  const feed = new JwksFeed({ read: async () => undefined, spreadMs: FOR_EVER });
  const caller = new AbortController();
  let spread = false;
  const spreading = feed.spread(caller.signal).then(() => {
    spread = true;
  });
  for (let count = 0; count < 3; count++) expect(await feed.fetch()).toBeUndefined();
  await new Promise(setImmediate);
  expect(spread).toBe(false);
  caller.abort();
  await spreading;
});
