import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createFileRegistry, fromBinary, toJson } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { afterAll, beforeAll, expect, test } from "vitest";
import { parse } from "yaml";
import { ROOT } from "../context.js";
import { StatusDetails } from "./status-details.js";

interface Mapper {
  readonly body_format_override: { readonly json_format?: { readonly code: number; readonly message: string } };
  readonly headers_to_add?: readonly { readonly header: { readonly key: string; readonly value: string } }[];
}

let folder: string;
let descriptors: Uint8Array;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "uait-descriptors-"));
  const file = join(folder, "set.binpb");
  execFileSync(join(ROOT, "ts/node_modules/.bin/buf"), ["build", "--as-file-descriptor-set", "-o", file], {
    cwd: ROOT,
  });
  descriptors = readFileSync(file);
});
afterAll(() => rmSync(folder, { recursive: true }));

function decode(details: string): unknown {
  const registry = createFileRegistry(fromBinary(FileDescriptorSetSchema, descriptors));
  const schema = registry.getMessage("google.rpc.Status");
  if (schema === undefined) throw new Error("no google.rpc.Status");
  return toJson(schema, fromBinary(schema, Buffer.from(details, "base64")), { registry });
}

function edgeMappers(): Mapper[] {
  const text = readFileSync(join(ROOT, "envoy/envoy.yaml"), "utf8");
  const written = parse(text, { maxAliasCount: -1 });
  const edge = written.static_resources.listeners.find((listener: { name: string }) => listener.name === "edge");
  return edge.filter_chains[0].filters[0].typed_config.local_reply_config.mappers;
}

const header = (mapper: Mapper | undefined, key: string): string | undefined =>
  mapper?.headers_to_add?.find(({ header: { key: name } }) => name === key)?.header.value;

test("local_replies_say_the_same_in_all_three_protocols", () => {
  const mappers = edgeMappers();
  let constant = 0;
  mappers.forEach((rest, index) => {
    const json = rest.body_format_override.json_format;
    const [web, grpc] = [mappers[index + 1], mappers[index + 2]];
    const details = header(web, "grpc-status-details-bin");
    if (json === undefined || details === undefined) return;
    expect(header(web, "grpc-status")).toBe(String(json.code));
    expect(header(web, "grpc-message")).toBe(json.message);
    expect(header(grpc, "grpc-status-details-bin")).toBe(details);
    if (details.startsWith("%")) return;
    constant++;
    expect(decode(details)).toEqual(json);
  });
  expect(constant).toBe(4);
});

test("status_details_decode_to_what_was_encoded", () => {
  const details = new StatusDetails(descriptors).encode({
    code: 7,
    message: "the key lacks the scope echo.write",
    reason: "SCOPE_MISSING",
    metadata: { scope: "echo.write" },
  });
  expect(details).not.toContain("=");
  expect(decode(details)).toEqual({
    code: 7,
    message: "the key lacks the scope echo.write",
    details: [
      {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        reason: "SCOPE_MISSING",
        domain: "uait.dev",
        metadata: { scope: "echo.write" },
      },
    ],
  });
});
