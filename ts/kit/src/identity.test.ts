import { describe, expect, test } from "vitest";
import { identityMetadata, readIdentity } from "./identity.js";

const read = (metadata: Record<string, string>) => readIdentity((key) => metadata[key]);

describe("readIdentity", () => {
  test.each([["acme"], ["0-9"], ["a".repeat(63)]])("tenant_%s_is_read", (tenant) => {
    expect(read({ "x-uait-tenant": tenant })).toEqual({ tenant, subject: "", scopes: [] });
  });

  test.each([[""], ["../etc"], ["Acme"], ["-acme"], ["a".repeat(64)], ["acme\n"], ["a b"]])(
    "tenant_%j_is_refused",
    (tenant) => {
      expect(read({ "x-uait-tenant": tenant })).toBeUndefined();
    },
  );

  test("tenant_absent_is_refused", () => {
    expect(read({})).toBeUndefined();
  });

  test("subject_and_scopes_survive_a_hop", () => {
    const metadata = { "x-uait-tenant": "acme", "x-uait-subject": "user:7", "x-uait-scopes": "a.read b.write" };
    const identity = read(metadata);
    expect(identity?.scopes).toEqual(["a.read", "b.write"]);
    expect(identity && Object.fromEntries(identityMetadata(identity))).toEqual(metadata);
  });

  test("subject_past_256_characters_is_refused", () => {
    expect(read({ "x-uait-tenant": "acme", "x-uait-subject": "s".repeat(257) })).toBeUndefined();
  });
});
