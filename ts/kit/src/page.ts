import { fingerprintOf } from "./idempotency.js";
import { Status, StatusError } from "./status.js";

const DEFAULT_PAGE_SIZE = 100;
const FINGERPRINT_CHARACTERS = 12;

/** A request for a page, as every List has it. */
export interface PageRequest {
  /** 0 means 100. */
  readonly pageSize: number;
  /** Empty for the first page. */
  readonly pageToken: string;
}

export interface PageOptions<Item> {
  /** Every item that the request selects, in no order. */
  readonly items: readonly Item[];
  /** The request; its other fields are what the token is bound to. */
  readonly request: PageRequest;
  /** What the list is ordered by, ascending by code unit: different for each item, and the same as long as it exists. */
  readonly keyOf: (item: Item) => string;
}

export interface Page<Item> {
  readonly items: Item[];
  /** Empty on the last page. */
  readonly nextPageToken: string;
}

/**
 * One page of a list that is held in memory. A page begins after the last key of the page before, so that what comes and goes
 * meanwhile moves nothing.
 *
 * @throws StatusError PAGE_TOKEN_INVALID for a token of another request
 */
export function pageOf<Item>({ items, request, keyOf }: PageOptions<Item>): Page<Item> {
  const { pageSize, pageToken, ...rest } = request;
  const fingerprint = fingerprintOf(rest).slice(0, FINGERPRINT_CHARACTERS);
  const after = pageToken === "" ? undefined : readToken(pageToken, fingerprint);
  const keyed = items.map((item) => ({ item, key: keyOf(item) }));
  const left = keyed.filter(({ key }) => after === undefined || key > after).sort((a, b) => (a.key < b.key ? -1 : 1));
  const page = left.slice(0, pageSize === 0 ? DEFAULT_PAGE_SIZE : pageSize);
  const last = page.at(-1);
  const more = last !== undefined && page.length < left.length;
  return {
    items: page.map(({ item }) => item),
    nextPageToken: more ? Buffer.from(`${fingerprint}${last.key}`).toString("base64url") : "",
  };
}

function readToken(token: string, fingerprint: string): string {
  const text = Buffer.from(token, "base64url").toString("utf8");
  if (text.startsWith(fingerprint)) return text.slice(fingerprint.length);
  throw StatusError.of({
    code: Status.INVALID_ARGUMENT,
    reason: "PAGE_TOKEN_INVALID",
    message: "page_token was not issued for this request",
  });
}
