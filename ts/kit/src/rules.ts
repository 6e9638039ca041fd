import { type DescField, type DescMessage, getOption, hasOption, isFieldSet } from "@bufbuild/protobuf";
import { FeatureSet_FieldPresence } from "@bufbuild/protobuf/wkt";
import {
  type FieldRules,
  FieldRulesSchema,
  field as fieldOption,
  Ignore,
  message as messageOption,
  oneof as oneofOption,
} from "@uait/gen/es/buf/validate/validate_pb.js";
import { type Holds, scalarRule } from "./scalar-rules.js";

/** Thrown for what is not compiled, and caught by `compileRules`. */
class NotCompiled extends Error {}

/** ts-proto's message of a type, by its field names. */
type Fields = Readonly<Record<string, unknown>>;
type FieldHolds = (message: Fields) => boolean;

/** What holds of a message; filled after it is made, as messages hold each other. */
interface MessageRules {
  readonly checks: FieldHolds[];
}

/**
 * Compiles the protovalidate rules of a message, and of those in it, to functions of ts-proto's decoded messages.
 *
 * @returns whether a message keeps its rules: `true` only where the library finds no violation either; `undefined` when
 *   there is a rule that is not compiled, such as CEL.
 */
export function compileRules(schema: DescMessage): ((message: object) => boolean) | undefined {
  try {
    const { checks } = messageRules(schema, new Map());
    return (message) => all(checks, message as Fields);
  } catch (error) {
    if (error instanceof NotCompiled) return undefined;
    throw error;
  }
}

function all(checks: readonly FieldHolds[], message: Fields): boolean {
  for (const check of checks) if (!check(message)) return false;
  return true;
}

// ts-proto decodes these to a Date and to plain values of JavaScript; they hold no rules.
const DECODED_OTHERWISE: ReadonlySet<string> = new Set([
  "google.protobuf.Timestamp",
  "google.protobuf.Struct",
  "google.protobuf.Value",
  "google.protobuf.ListValue",
]);

function messageRules(schema: DescMessage, known: Map<string, MessageRules>): MessageRules {
  const made = known.get(schema.typeName);
  if (made !== undefined) return made;
  const rules: MessageRules = { checks: [] };
  known.set(schema.typeName, rules);
  if (DECODED_OTHERWISE.has(schema.typeName)) return rules;
  if (schema.typeName.startsWith("google.protobuf.") && schema.typeName !== "google.protobuf.Duration") {
    throw new NotCompiled(schema.typeName);
  }
  if (hasOption(schema, messageOption)) throw new NotCompiled(schema.typeName);
  for (const field of schema.fields) {
    if (field.oneof === undefined) rules.checks.push(...fieldRules(field, known));
  }
  for (const oneof of schema.oneofs) {
    const { localName } = oneof;
    if (getOption(oneof, oneofOption).required) rules.checks.push((message) => message[localName] !== undefined);
    const members = new Map<string, readonly Holds[]>();
    for (const field of oneof.fields) {
      if (rulesOf(field)?.required === true) throw new NotCompiled(String(field));
      members.set(field.localName, valueRules(field, known));
    }
    rules.checks.push(...oneofRules(localName, members));
  }
  return rules;
}

function oneofRules(name: string, members: ReadonlyMap<string, readonly Holds[]>): FieldHolds[] {
  if ([...members.values()].every((checks) => checks.length === 0)) return [];
  return [
    (message) => {
      const member = message[name] as { readonly $case: string; readonly value: unknown } | undefined;
      return member === undefined || allOf(members.get(member.$case) ?? [], member.value);
    },
  ];
}

function fieldRules(field: DescField, known: Map<string, MessageRules>): FieldHolds[] {
  const name = field.localName;
  const checks = valueRules(field, known);
  const required = rulesOf(field)?.required === true;
  const [first, second] = checks;
  if (field.fieldKind === "list" || field.fieldKind === "map") {
    const own = [...(required ? [isNotEmpty] : []), ...checks];
    return own.length === 0 ? [] : [(message) => allOf(own, message[name])];
  }
  if (field.fieldKind === "message" || field.presence !== FeatureSet_FieldPresence.IMPLICIT) {
    if (first === undefined && !required) return [];
    return [
      (message) => {
        const value = message[name];
        return value === undefined ? !required : allOf(checks, value);
      },
    ];
  }
  if (required) throw new NotCompiled(String(field));
  if (first === undefined) return [];
  if (second === undefined) return [(message) => first(message[name])];
  return [(message) => allOf(checks, message[name])];
}

function isNotEmpty(value: unknown): boolean {
  return Array.isArray(value) ? value.length > 0 : Object.keys(value as object).length > 0;
}

function allOf(checks: readonly Holds[], value: unknown): boolean {
  for (const check of checks) if (!check(value)) return false;
  return true;
}

function rulesOf(field: DescField): FieldRules | undefined {
  return hasOption(field, fieldOption) ? getOption(field, fieldOption) : undefined;
}

/** What holds of a value that is there. */
function valueRules(field: DescField, known: Map<string, MessageRules>): Holds[] {
  const rules = rulesOf(field);
  const compiled = setRules(rules, field);
  switch (field.fieldKind) {
    case "scalar":
    case "enum":
      return ruleChecks(compiled, field);
    case "message":
      return [...ruleChecks(compiled, field), ...heldRules(field.message, known)];
    case "list": {
      const items = compiled.get("items") as FieldRules | undefined;
      compiled.delete("items");
      const each = ruleChecks(setRules(items, field), field);
      if (field.listKind === "message") each.push(...heldRules(field.message, known));
      const checks = ruleChecks(compiled, field);
      if (each.length > 0) checks.push((list) => (list as readonly unknown[]).every((item) => allOf(each, item)));
      return checks;
    }
    case "map": {
      const keys = compiled.get("keys") as FieldRules | undefined;
      const values = compiled.get("values") as FieldRules | undefined;
      compiled.delete("keys");
      compiled.delete("values");
      const ofKeys = ruleChecks(setRules(keys, field), field);
      const ofValues = ruleChecks(setRules(values, field), field);
      if (field.mapKind === "message") ofValues.push(...heldRules(field.message, known));
      const checks = ruleChecks(compiled, field);
      if (ofKeys.length + ofValues.length > 0) {
        checks.push((map) =>
          Object.entries(map as object).every(([key, value]) => allOf(ofKeys, key) && allOf(ofValues, value)),
        );
      }
      return checks;
    }
  }
}

function heldRules(schema: DescMessage, known: Map<string, MessageRules>): Holds[] {
  const held = messageRules(schema, known);
  // A message that holds itself is not complete yet, and is checked for whatever comes.
  const complete = !DECODED_OTHERWISE.has(schema.typeName) && schema.fields.length > 0;
  return complete ? [(value) => all(held.checks, value as Fields)] : [];
}

/** A rule that is set, and its bound. */
type SetRules = Map<string, unknown>;

/** The rules of a field by their names, such as `string.minLen`; `items`, `keys` and `values` are FieldRules themselves. */
function setRules(rules: FieldRules | undefined, field: DescField): SetRules {
  const set: SetRules = new Map();
  if (rules === undefined) return set;
  if (rules.ignore !== Ignore.UNSPECIFIED || rules.$unknown !== undefined) throw new NotCompiled(String(field));
  for (const own of FieldRulesSchema.fields) {
    if (isFieldSet(rules, own) && own.oneof === undefined && own.localName !== "required") {
      throw new NotCompiled(`${field}: ${own.localName}`);
    }
  }
  const { type } = rules;
  if (type.case === undefined) return set;
  if (type.value.$unknown !== undefined) throw new NotCompiled(String(field));
  const schema = FieldRulesSchema.fields.find(({ localName }) => localName === type.case)?.message;
  for (const rule of schema?.fields ?? []) {
    if (!isFieldSet(type.value, rule)) continue;
    const held = type.value as unknown as Readonly<Record<string, unknown>>;
    const bound =
      rule.oneof === undefined
        ? held[rule.localName]
        : (held[rule.oneof.localName] as { readonly value: unknown }).value;
    const nested = rule.localName === "items" || rule.localName === "keys" || rule.localName === "values";
    set.set(nested ? rule.localName : `${type.case}.${rule.localName}`, bound);
  }
  return set;
}

function ruleChecks(rules: SetRules, field: DescField): Holds[] {
  return [...rules].flatMap(([name, bound]) => {
    const holds = scalarRule(name, bound, field);
    if (holds === undefined) throw new NotCompiled(`${field}: ${name}`);
    return holds;
  });
}
