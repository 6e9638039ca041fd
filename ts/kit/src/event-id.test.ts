import { expect, test } from "vitest";
import { requestEventId, uuidV5, uuidV7 } from "./event-id.js";

test("uuid_v7_begins_with_the_time_as_rfc_9562_appendix_a_6_has_it", () => {
  const random = Uint8Array.of(0x0c, 0xc3, 0x18, 0xc4, 0xdc, 0x0c, 0x0c, 0x07, 0x39, 0x8f);
  expect(uuidV7(0x017f22e279b0, random)).toBe("017f22e2-79b0-7cc3-98c4-dc0c0c07398f");
});

test("uuid_v7_of_a_later_time_sorts_after", () => {
  expect(uuidV7(1000) < uuidV7(1001)).toBe(true);
});

test("uuid_v5_is_that_of_rfc_9562_appendix_a_4", () => {
  const DNS = "6ba7b810-9dad-11d1-80b4-00c04fd430c8";
  expect(uuidV5(DNS, "www.example.com")).toBe("2ed6657d-e927-568b-95e1-2665a8aea6a2");
});

test("request_event_id_is_the_same_for_the_same_request_only", () => {
  const request = { service: "echo-ts", area: "echo", tenant: "acme", requestId: "r1" };
  // As the Rust kit has it.
  expect(requestEventId(request)).toBe("67207192-6859-538e-bca3-095cc8bb543a");
  const others = [{ service: "echo-go" }, { area: "model" }, { tenant: "globex" }, { requestId: "r2" }];
  const ids = [request, ...others.map((other) => ({ ...request, ...other }))].map(requestEventId);
  expect(new Set(ids).size).toBe(ids.length);
});
