import type { DescField } from "@bufbuild/protobuf";
import { compiled } from "./patterns.js";

/** Whether a value keeps a rule. */
export type Holds = (value: unknown) => boolean;

type Rule = (bound: unknown, field: DescField) => Holds | readonly Holds[] | undefined;
type Comparable = number | bigint;

const atLeast: Rule = (bound) => (value) => (value as Comparable) >= (bound as Comparable);
const atMost: Rule = (bound) => (value) => (value as Comparable) <= (bound as Comparable);
const above: Rule = (bound) => (value) => (value as Comparable) > (bound as Comparable);
const below: Rule = (bound) => (value) => (value as Comparable) < (bound as Comparable);

const NUMBERS = ["int32", "int64", "uint32", "uint64", "double", "float"].flatMap((type): [string, Rule][] => [
  [`${type}.gte`, atLeast],
  [`${type}.lte`, atMost],
  [`${type}.gt`, above],
  [`${type}.lt`, below],
]);

const finite: Rule = (bound) => (bound === true ? Number.isFinite : []);

interface Duration {
  readonly seconds: bigint;
  readonly nanos: number;
}

/** Limit of google.protobuf.Duration, on both sides. */
const MAX_SECONDS = 315_576_000_000n;

/** Seconds first, then nanoseconds, as the library compares; NaN for one that no Duration may hold. */
function compared(value: unknown, bound: unknown): number {
  const { seconds, nanos } = value as Duration;
  const { seconds: boundSeconds, nanos: boundNanos } = bound as Duration;
  if (seconds < -MAX_SECONDS || seconds > MAX_SECONDS) return Number.NaN;
  if (seconds === boundSeconds) return nanos - boundNanos;
  return seconds < boundSeconds ? -1 : 1;
}

// By the names of buf.validate's rules. A range whose lower bound is over its upper excludes what is between; both rules
// then fail here, and the library is asked.
const RULES: ReadonlyMap<string, Rule> = new Map<string, Rule>([
  ...NUMBERS,
  ["double.finite", finite],
  ["float.finite", finite],
  ["string.minLen", (bound) => (value) => hasLength(value as string, Number(bound), Number.POSITIVE_INFINITY)],
  ["string.maxLen", (bound) => (value) => hasLength(value as string, 0, Number(bound))],
  ["string.minBytes", (bound) => (value) => Buffer.byteLength(value as string) >= Number(bound)],
  ["string.maxBytes", (bound) => (value) => Buffer.byteLength(value as string) <= Number(bound)],
  ["string.pattern", (bound) => pattern(bound as string)],
  ["string.const", (bound) => (value) => value === bound],
  ["bytes.minLen", (bound) => (value) => (value as Uint8Array).length >= Number(bound)],
  ["bytes.maxLen", (bound) => (value) => (value as Uint8Array).length <= Number(bound)],
  ["enum.definedOnly", definedOnly],
  ["enum.notIn", (bound) => (value) => !(bound as readonly number[]).includes(value as number)],
  ["repeated.minItems", (bound) => (value) => (value as readonly unknown[]).length >= Number(bound)],
  ["repeated.maxItems", (bound) => (value) => (value as readonly unknown[]).length <= Number(bound)],
  ["repeated.unique", unique],
  ["map.minPairs", (bound) => (value) => Object.keys(value as object).length >= Number(bound)],
  ["map.maxPairs", (bound) => (value) => Object.keys(value as object).length <= Number(bound)],
  ["duration.gte", (bound) => (value) => compared(value, bound) >= 0],
  ["duration.lte", (bound) => (value) => compared(value, bound) <= 0],
]);

/** The rule of this name with its bound; `undefined` when it is not known here. */
export function scalarRule(name: string, bound: unknown, field: DescField): Holds | readonly Holds[] | undefined {
  return RULES.get(name)?.(bound, field);
}

/** In code points, of which none takes more than two units. */
function hasLength(value: string, least: number, most: number): boolean {
  const units = value.length;
  if (units <= most && units >= least * 2) return true;
  if (units > most * 2 || units < least) return false;
  let points = 0;
  for (const _ of value) points++;
  return points >= least && points <= most;
}

function pattern(source: string): Holds {
  const regExp = compiled(source);
  // Most texts that may be empty are.
  const empty = regExp.test("");
  return (value) => (value === "" ? empty : regExp.test(value as string));
}

function definedOnly(bound: unknown, field: DescField): Holds | readonly Holds[] | undefined {
  if (bound !== true) return [];
  if (!("enum" in field) || field.enum === undefined) return undefined;
  const numbers = new Set(field.enum.values.map(({ number }) => number));
  return (value) => numbers.has(value as number);
}

function unique(bound: unknown, field: DescField): Holds | readonly Holds[] | undefined {
  if (bound !== true) return [];
  const isPlainList = field.fieldKind === "list" && field.listKind !== "message";
  if (!isPlainList) return undefined;
  // Bytes are equal by content: as objects they would never be. The library is asked.
  return (value) => {
    const list = value as readonly unknown[];
    return list.length < 2 || (typeof list[0] !== "object" && new Set(list).size === list.length);
  };
}
