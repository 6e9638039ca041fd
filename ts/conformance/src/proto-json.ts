import type { PackageDefinition } from "@grpc/proto-loader";
import { isJsonObject, type Json } from "./json.js";

interface FieldDescriptor {
  readonly name: string;
  readonly label: string;
  readonly type: string;
  readonly typeName: string;
}

/** The part of proto-loader's descriptors that JSON depends on. */
export interface MessageDescriptor {
  readonly name: string;
  readonly field: readonly FieldDescriptor[];
  readonly nestedType: readonly MessageDescriptor[];
}

type Convert = (value: Json) => Json;

const WELL_KNOWN = new Map<string, { readonly toObject: Convert; readonly toJson: Convert }>([
  ["google.protobuf.Duration", { toObject: durationToObject, toJson: durationToJson }],
  ["google.protobuf.Timestamp", { toObject: refuse, toJson: timestampToJson }],
]);

/**
 * proto3 JSON for the objects of proto-loader (with strings for long integers, bytes and enums), which already agree
 * with it in everything but the well-known types.
 */
export class ProtoJson {
  readonly #definition: PackageDefinition;
  readonly #fields = new Map<MessageDescriptor, ReadonlyMap<string, FieldDescriptor>>();

  constructor(definition: PackageDefinition) {
    this.#definition = definition;
  }

  toObject(type: MessageDescriptor, json: Json): Json {
    return this.#walk(type, json, "toObject");
  }

  toJson(type: MessageDescriptor, object: Json): Json {
    return this.#walk(type, object, "toJson");
  }

  #walk(type: MessageDescriptor, value: Json, direction: "toObject" | "toJson"): Json {
    if (!isJsonObject(value)) return value;
    const fields = this.#fieldsOf(type);
    const converted: [string, Json][] = [];
    for (const [key, item] of Object.entries(value)) {
      const field = fields.get(key);
      if (field === undefined) throw new Error(`${type.name} has no field ${key}`);
      const each = this.#fieldConversion(type, field, direction);
      converted.push([key, field.label === "LABEL_REPEATED" && Array.isArray(item) ? item.map(each) : each(item)]);
    }
    return Object.fromEntries(converted);
  }

  #fieldsOf(type: MessageDescriptor): ReadonlyMap<string, FieldDescriptor> {
    const known = this.#fields.get(type);
    if (known !== undefined) return known;
    const fields = new Map(type.field.map((field) => [camelCase(field.name), field]));
    this.#fields.set(type, fields);
    return fields;
  }

  #fieldConversion(parent: MessageDescriptor, field: FieldDescriptor, direction: "toObject" | "toJson"): Convert {
    if (field.type !== "TYPE_MESSAGE") return (value) => value;
    const wellKnown = WELL_KNOWN.get(field.typeName);
    if (wellKnown !== undefined) return wellKnown[direction];
    // A nested type here is a map entry, whose keys and values are text in these contracts.
    if (parent.nestedType.some(({ name }) => name === field.typeName)) return (value) => value;
    const type = this.#find(field.typeName);
    return (value) => this.#walk(type, value, direction);
  }

  #find(typeName: string): MessageDescriptor {
    const name = typeName.includes(".") ? typeName : `uait.echo.v1.${typeName}`;
    const found = this.#definition[name];
    if (found === undefined || !("type" in found)) throw new Error(`no message type ${name}`);
    return found.type as MessageDescriptor;
  }
}

function durationToObject(value: Json): Json {
  const match = typeof value === "string" ? /^(-?)(\d+)(?:\.(\d{1,9}))?s$/.exec(value) : null;
  if (match === null) throw new Error(`not a duration: ${JSON.stringify(value)}`);
  const [, sign = "", seconds = "0", fraction = ""] = match;
  return { seconds: `${sign}${seconds}`, nanos: Number(`${sign}${fraction.padEnd(9, "0")}`) };
}

function durationToJson(value: Json): Json {
  if (!isJsonObject(value)) return value;
  const nanos = Number(value["nanos"] ?? 0);
  const fraction = nanos === 0 ? "" : `.${String(Math.abs(nanos)).padStart(9, "0").replace(/0+$/, "")}`;
  return `${String(value["seconds"] ?? 0)}${fraction}s`;
}

function timestampToJson(value: Json): Json {
  if (!isJsonObject(value)) return value;
  const ms = Number(value["seconds"] ?? 0) * 1000 + Number(value["nanos"] ?? 0) / 1e6;
  return new Date(ms).toISOString();
}

function refuse(value: Json): Json {
  throw new Error(`no request of the cases has a timestamp: ${JSON.stringify(value)}`);
}

function camelCase(name: string): string {
  return name.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
}
