import { expect, test } from "vitest";
import { requestEventId, uuidV7 } from "./event-id.js";

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-([78])[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

test("uuid_v7_begins_with_the_time_as_rfc_9562_appendix_a_6_has_it", () => {
  const random = Uint8Array.of(0x0c, 0xc3, 0x18, 0xc4, 0xdc, 0x0c, 0x0c, 0x07, 0x39, 0x8f);
  expect(uuidV7(0x017f22e279b0, random)).toBe("017f22e2-79b0-7cc3-98c4-dc0c0c07398f");
});

test("uuid_v7_of_a_later_time_sorts_after", () => {
  expect(uuidV7(1000) < uuidV7(1001)).toBe(true);
});

test("request_event_id_is_the_same_for_the_same_request_only", () => {
  const id = requestEventId("echo-ts", "acme", "r1");
  expect(id).toMatch(UUID);
  expect(requestEventId("echo-ts", "acme", "r1")).toBe(id);
  const others: readonly [string, string, string][] = [
    ["echo-go", "acme", "r1"],
    ["echo-ts", "globex", "r1"],
    ["echo-ts", "acme", "r2"],
  ];
  for (const other of others) expect(requestEventId(...other)).not.toBe(id);
});
