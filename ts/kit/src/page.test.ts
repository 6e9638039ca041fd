import { expect, test } from "vitest";
import { pageOf } from "./page.js";
import { Status } from "./status.js";

const names = Array.from({ length: 250 }, (_, index) => `n${String(index).padStart(3, "0")}`).reverse();
const list = (request: { pageSize?: number; pageToken?: string; kind?: string }, items = names) =>
  pageOf({ items, request: { pageSize: 0, pageToken: "", ...request }, keyOf: (name) => name });

test("pages_are_in_order_and_together_have_everything_once", () => {
  const seen: string[] = [];
  let pageToken = "";
  do {
    const page = list({ pageToken });
    seen.push(...page.items);
    pageToken = page.nextPageToken;
  } while (pageToken !== "");
  expect(seen).toEqual([...names].reverse());
});

test("page_size_zero_means_100_and_the_last_page_has_no_token", () => {
  expect(list({}).items.length).toBe(100);
  expect(list({ pageSize: 1000 })).toMatchObject({ nextPageToken: "" });
  expect(list({ pageSize: 250 }).nextPageToken).toBe("");
});

test("item_that_goes_between_pages_moves_nothing", () => {
  const { nextPageToken } = list({ pageSize: 2 });
  const left = names.filter((name) => name !== "n000" && name !== "n001");
  expect(list({ pageSize: 2, pageToken: nextPageToken }, left).items).toEqual(["n002", "n003"]);
});

test.for(["nonsense", "", "%%%"])("token_of_another_request_is_refused %j", (kind) => {
  const { nextPageToken } = list({ kind: "a" });
  const request = kind === "" ? { kind: "b", pageToken: nextPageToken } : { kind: "a", pageToken: kind };
  expect(() => list(request)).toThrow(
    expect.objectContaining({ code: Status.INVALID_ARGUMENT, reason: "PAGE_TOKEN_INVALID" }),
  );
});
