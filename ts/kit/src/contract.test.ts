import { readdirSync } from "node:fs";
import {
  create,
  type DescField,
  type DescMessage,
  type DescService,
  fromBinary,
  getOption,
  hasOption,
  ScalarType,
  toBinary,
} from "@bufbuild/protobuf";
import { reflect } from "@bufbuild/protobuf/reflect";
import { type FieldRules, field as fieldOption } from "@uait/gen/es/buf/validate/validate_pb.js";
import { EchoRequestSchema } from "@uait/gen/es/uait/echo/v1/echo_pb.js";
import { EventSchema } from "@uait/gen/es/uait/event/v1/event_pb.js";
import { EchoRequest } from "@uait/gen/uait/echo/v1/echo.js";
import { Event } from "@uait/gen/uait/event/v1/event.js";
import { describe, expect, test } from "vitest";
import { Contract } from "./contract.js";
import { compileRules } from "./rules.js";
import { validateBytes } from "./validate.js";

interface Subject {
  readonly schema: DescMessage;
  readonly decode: (bytes: Uint8Array) => object;
}

const MESSAGES = 40;
const MUTANTS = 2;

/** Messages with a rule that only the library checks: an IP address. */
const LIBRARY_ONLY: readonly string[] = ["uait.intelligent_load_balancer.v1.RegisterEndpointRequest"];

const subjects = [...(await requests()), { schema: EventSchema, decode: Event.decode }];

test("rules_of_every_request_are_compiled", () => {
  const left = subjects.filter(({ schema }) => compileRules(schema) === undefined);
  expect(left.map(({ schema }) => schema.typeName)).toEqual(LIBRARY_ONLY);
});

describe.each(subjects.filter(({ schema }) => !LIBRARY_ONLY.includes(schema.typeName)))(
  "$schema.typeName",
  ({ schema, decode }) => {
    test("compiled_rules_agree_with_protovalidate", () => {
      const contract = new Contract(schema, decode);
      const random = generator(schema.typeName);
      let kept = 0;
      for (let index = 0; index < MESSAGES; index++) {
        // From messages that keep the rules that are known here to messages that keep few.
        const wild = Math.max(0, index / MESSAGES - 0.3);
        const bytes = toBinary(schema, message(schema, random, wild, 0));
        const valid = validateBytes(schema, bytes) === undefined;
        const read = contract.readCompiled(bytes);
        if (valid !== (read !== undefined)) expect.fail(describeBytes(schema, bytes));
        if (read !== undefined) expect(read).toEqual(decode(bytes));
        if (valid) kept++;
        for (let mutant = 0; mutant < MUTANTS; mutant++) {
          const mutated = mutate(bytes, random);
          if (contract.readCompiled(mutated) === undefined) continue;
          expect(validateBytes(schema, mutated), Buffer.from(mutated).toString("hex")).toBeUndefined();
        }
      }
      expect(kept, "no message kept the rules").toBeGreaterThan(0);
    });
  },
);

describe("bytes_that_decoders_read_differently", () => {
  const contract = new Contract(EchoRequestSchema, EchoRequest.decode);
  const hello = toBinary(EchoRequestSchema, create(EchoRequestSchema, { message: "hello" }));

  test.each([
    ["text that is not UTF-8", [0x1a, 2, 0xc3, 0x28]],
    ["a field number of 0", [0]],
    ["the end of a group", [0x0c]],
    ["a group", [0x2b, 0x2c]],
    ["a wrong wire type", [0x18, 1]],
    ["a message that is there twice", [0x22, 0, 0x22, 0]],
    ["a key that is lost in an object", [0x22, 13, 0x22, 11, 0x0a, 9, ...Buffer.from("__proto__")]],
    ["a length past the end", [0x12, 5, 1]],
    ["a number that does not end", [0x28, ...Array.from({ length: 11 }, () => 0x80)]],
  ])("%s_is_for_the_library", (_what, more) => {
    expect(contract.readCompiled(hello)).toMatchObject({ message: "hello" });
    expect(contract.readCompiled(Uint8Array.from([...hello, ...more]))).toBeUndefined();
  });

  test("unknown_field_is_skipped", () => {
    expect(contract.readCompiled(Uint8Array.from([...hello, 0xfa, 0x7f, 1, 0xff]))).toMatchObject({ message: "hello" });
  });
});

async function requests(): Promise<Subject[]> {
  const found = new Map<string, Subject>();
  const folder = new URL("../../gen/es/uait/", import.meta.url);
  for (const entry of readdirSync(folder, { recursive: true }) as string[]) {
    const path = /^(.*)_pb\.ts$/.exec(entry)?.[1];
    if (path === undefined) continue;
    const [es, tsProto] = await Promise.all([
      import(new URL(entry, folder).href) as Promise<Record<string, unknown>>,
      import(new URL(`../../gen/src/uait/${path}.ts`, import.meta.url).href) as Promise<Record<string, unknown>>,
    ]);
    for (const service of Object.values(es).filter(isService)) {
      const definition = tsProto[`${service.name}Definition`] as {
        readonly methods: Readonly<Record<string, { readonly name: string; readonly requestType: Subject }>>;
      };
      for (const { name, requestType } of Object.values(definition.methods)) {
        const schema = service.methods.find((method) => method.name === name)?.input;
        if (schema !== undefined) found.set(schema.typeName, { schema, decode: requestType.decode });
      }
    }
  }
  return [...found.values()];
}

function isService(value: unknown): value is DescService {
  return typeof value === "object" && value !== null && "kind" in value && value.kind === "service";
}

interface Random {
  /** 0 to 1. */
  next(): number;
  pick<Item>(items: readonly Item[]): Item;
}

// The same messages on every machine: mulberry32, seeded by FNV-1a of the name.
function generator(name: string): Random {
  let state = [...name].reduce((hash, letter) => Math.imul(hash ^ letter.charCodeAt(0), 16777619), 2166136261);
  const next = () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  return {
    next,
    pick: (items) => items[Math.floor(next() * items.length)] as (typeof items)[number],
  };
}

/** A message whose values break their rules with a probability of `wild` each. */
function message(schema: DescMessage, random: Random, wild: number, depth: number) {
  const made = reflect(schema, create(schema));
  for (const field of schema.fields) {
    const rules = hasOption(field, fieldOption) ? getOption(field, fieldOption) : undefined;
    const deep = depth > 3 ? 0 : 0.6;
    const member = field.oneof;
    if (member !== undefined && random.next() < 0.5 && made.oneofCase(member) !== undefined) continue;
    const presence = member === undefined ? deep : Math.max(deep, 0.3);
    const needed = rules?.required === true || (rules?.type.case !== undefined && field.fieldKind !== "message");
    if (random.next() > (needed || member !== undefined ? 1 - wild / 4 : presence)) continue;
    switch (field.fieldKind) {
      case "scalar":
        made.set(field, scalar(field.scalar, rules, random, wild));
        break;
      case "enum":
        made.set(field, enumValue(field, rules, random, wild));
        break;
      case "message":
        made.set(field, reflect(field.message, special(field.message, rules, random, wild, depth)));
        break;
      case "list": {
        const { items, minItems, maxItems } =
          rules?.type.case === "repeated" ? rules.type.value : { items: undefined, minItems: 0n, maxItems: 3n };
        const size = count(Number(minItems), Math.min(Number(maxItems) || 3, Number(minItems) + 3), random, wild);
        const list = made.get(field);
        for (let index = 0; index < size; index++) {
          if (field.listKind === "scalar") list.add(scalar(field.scalar, items, random, wild));
          else if (field.listKind === "enum") list.add(enumValue(field, items, random, wild));
          else list.add(reflect(field.message, special(field.message, items, random, wild, depth)));
        }
        break;
      }
      case "map": {
        const { keys, values } = rules?.type.case === "map" ? rules.type.value : { keys: undefined, values: undefined };
        const map = made.get(field);
        for (let index = count(0, 3, random, wild); index > 0; index--) {
          const key = scalar(field.mapKey, keys, random, wild) as string;
          if (field.mapKind === "scalar") map.set(key, scalar(field.scalar, values, random, wild));
          if (field.mapKind === "message") {
            map.set(key, reflect(field.message, special(field.message, values, random, wild, depth)));
          }
        }
        break;
      }
    }
  }
  return made.message;
}

function count(least: number, most: number, random: Random, wild: number): number {
  if (random.next() < wild / 8) return random.pick([0, least - 1, most + 1].filter((size) => size >= 0));
  return least + Math.floor(random.next() * (most - least + 1));
}

function special(schema: DescMessage, rules: FieldRules | undefined, random: Random, wild: number, depth: number) {
  if (schema.typeName !== "google.protobuf.Duration") return message(schema, random, wild, depth + 1);
  const made = reflect(schema, create(schema));
  const { gte, lte } = { gte: 0n, lte: 10n, ...bounds(rules) };
  const second =
    random.next() < wild
      ? random.pick([-1n, gte - 1n, lte, lte + 1n, 2n ** 40n])
      : random.pick([gte, lte, (gte + lte) / 2n]);
  const nanos = random.next() < wild ? random.pick([-1, 1, 999_999_999, 1_000_000_000]) : 0;
  for (const field of schema.fields) made.set(field, field.name === "seconds" ? second : nanos);
  return made.message;
}

function bounds(rules: FieldRules | undefined): { gte?: bigint; lte?: bigint } {
  if (rules?.type.case !== "duration") return {};
  const { greaterThan, lessThan } = rules.type.value;
  return {
    ...(greaterThan.case === "gte" ? { gte: greaterThan.value.seconds } : {}),
    ...(lessThan.case === "lte" ? { lte: lessThan.value.seconds } : {}),
  };
}

const TEXTS = [
  ...["", "a", "A", "0", "a-1", "x-echo-a", "echo-go", "a.b", "a_b", "a b", "é", "\u{1f30d}", "\ufffd", "\u0000"],
  ...["018f4e5c-7a1b-7c3d-8e2f-0123456789ab", "text/plain", "/a/b", "http://127.0.0.1:80/x", "127.0.0.1", "1.0.0"],
  ...["constructor", "a,b", "A".repeat(32), "0".repeat(64), "a".repeat(63), "ab12".repeat(8)],
  ...[
    "a".repeat(64),
    "a".repeat(65),
    "é".repeat(64),
    "\u{1f30d}".repeat(33),
    "x".repeat(4097),
    "\u{1f30d}".repeat(4096),
  ],
  ...[
    "delete every memory",
    "echo.read",
    "memory.write",
    "image/png",
    "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    `sha256:${"a".repeat(64)}`,
    "Name",
    "a:b",
  ],
];

function scalar(type: ScalarType, rules: FieldRules | undefined, random: Random, wild: number): unknown {
  const tame = random.next() >= wild;
  const kind = rules?.type;
  switch (type) {
    case ScalarType.STRING: {
      return random.pick(kind?.case === "string" && tame ? fittingTexts(kind.value) : TEXTS);
    }
    case ScalarType.BYTES: {
      const least = kind?.case === "bytes" ? Number(kind.value.minLen) : 0;
      return new Uint8Array(tame ? least : random.pick([0, Math.max(0, least - 1), least + 1]));
    }
    case ScalarType.BOOL:
      return random.next() < 0.5;
    case ScalarType.DOUBLE:
    case ScalarType.FLOAT: {
      const [least, most] = range(kind);
      if (tame) return random.pick([least, most, (least + most) / 2]);
      return random.pick([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, -0, least - 1, most + 1]);
    }
    default: {
      const [least, most] = range(kind).map(Math.floor) as [number, number];
      const unsigned = type === ScalarType.UINT32 || type === ScalarType.UINT64;
      const value = tame ? random.pick([least, most]) : random.pick([least - 1, most + 1, 0, -1]);
      const held = Math.min(2 ** 31 - 1, Math.max(unsigned ? 0 : -(2 ** 31), value));
      const isLong = [ScalarType.INT64, ScalarType.UINT64, ScalarType.SINT64, ScalarType.FIXED64, ScalarType.SFIXED64];
      return isLong.includes(type) ? BigInt(held) : held;
    }
  }
}

function range(kind: FieldRules["type"] | undefined): [number, number] {
  const value = kind?.value as { greaterThan?: Bound; lessThan?: Bound } | undefined;
  const { case: above, value: from } = value?.greaterThan ?? {};
  const { case: below, value: to } = value?.lessThan ?? {};
  const least = Number(from ?? 0) + (above === "gt" ? 0.5 : 0);
  return [least, below === undefined ? least + 1 : Number(to)];
}

interface Bound {
  readonly case: string | undefined;
  readonly value?: number | bigint;
}

type TextRules = Extract<FieldRules["type"], { case: "string" }>["value"];

const fitting = new Map<string, readonly string[]>();

function fittingTexts(rules: TextRules): readonly string[] {
  const { pattern, minLen, maxLen, minBytes, maxBytes, const: only } = rules;
  const name = [pattern, minLen, maxLen, minBytes, maxBytes, only].join();
  const known = fitting.get(name);
  if (known !== undefined) return known;
  const fits = TEXTS.filter((text) => {
    const points = [...text].length;
    const bytes = Buffer.byteLength(text);
    return (
      (pattern === "" || new RegExp(pattern, "u").test(text)) &&
      (only === "" || only === text) &&
      points >= minLen &&
      bytes >= minBytes &&
      (maxLen === 0n || points <= maxLen) &&
      (maxBytes === 0n || bytes <= maxBytes)
    );
  });
  fitting.set(name, fits.length > 0 ? fits : TEXTS);
  return fits.length > 0 ? fits : TEXTS;
}

function enumValue(field: DescField, rules: FieldRules | undefined, random: Random, wild: number): number {
  const numbers = (field.enum?.values ?? []).map(({ number }) => number);
  const barred = rules?.type.case === "enum" ? rules.type.value.notIn : [];
  if (random.next() < wild) return random.pick([...numbers, ...barred, 99]);
  return random.pick(numbers.filter((number) => !barred.includes(number)));
}

/** One to three changes of the kinds that decoders disagree about. */
function mutate(bytes: Uint8Array, random: Random): Uint8Array {
  let mutated = [...bytes];
  for (let changes = random.pick([1, 1, 2, 3]); changes > 0; changes--) {
    const at = Math.floor(random.next() * (mutated.length + 1));
    const kind = random.pick(["set", "flip", "insert", "cut", "repeat", "end"]);
    if (kind === "set" && mutated.length > 0) mutated[at % mutated.length] = Math.floor(random.next() * 256);
    if (kind === "flip" && mutated.length > 0)
      mutated[at % mutated.length] = (mutated[at % mutated.length] ?? 0) ^ (1 << Math.floor(random.next() * 8));
    if (kind === "insert") mutated.splice(at, 0, random.pick([0, 0x0a, 0x0b, 0x0c, 0x80, 0xc3, 0xff]));
    if (kind === "cut") mutated = mutated.slice(0, at);
    if (kind === "repeat") mutated = [...mutated, ...mutated.slice(0, at)];
    if (kind === "end") mutated.push(random.pick([0, 0x04, 0x0c]));
  }
  return Uint8Array.from(mutated);
}

function describeBytes(schema: DescMessage, bytes: Uint8Array): string {
  const read = fromBinary(schema, bytes);
  return `${JSON.stringify(read, (_key, value) => (typeof value === "bigint" ? `${value}n` : value))} ${validateBytes(schema, bytes)?.message ?? "is valid"}`;
}
