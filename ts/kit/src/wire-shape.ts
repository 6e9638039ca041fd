import { isUtf8 } from "node:buffer";
import { type DescField, type DescMessage, type DescOneof, ScalarType } from "@bufbuild/protobuf";

/** What the wire format of a message may look like, as far as every decoder reads it alike. */
export interface WireShape {
  /** By field number. */
  readonly fields: Map<number, FieldShape>;
  /** Bits of the fields without which decoders disagree: the value of an entry of a map. */
  required: number;
}

interface FieldShape {
  readonly wire: number;
  /** Size in bytes of a number in a packed list, 0 for varints; `undefined` where there is nothing to pack. */
  readonly packed: number | undefined;
  readonly text: boolean;
  /** Whether it becomes the name of a property. */
  readonly key: boolean;
  /** The message that the field holds. */
  readonly message: WireShape | undefined;
  /** Of a message that is there once at most: later ones are merged by some decoders and replace it in others. */
  readonly bit: number;
}

const VARINT = 0;
const FIXED64 = 1;
const LENGTH = 2;
const FIXED32 = 5;

/** The least depth at which a decoder gives up is 100. */
const MAX_DEPTH = 90;
const BITS = 31;

/** The shape of a message; `shapes` are those made already, as messages hold each other. */
export function wireShape(schema: DescMessage, shapes: Map<string, WireShape>): WireShape {
  const known = shapes.get(schema.typeName);
  if (known !== undefined) return known;
  const shape: WireShape = { fields: new Map(), required: 0 };
  shapes.set(schema.typeName, shape);
  const bits = new Map<DescField | DescOneof, number>();
  for (const field of schema.fields) {
    // Two that share a bit are taken for one that is there twice, as are two members of a oneof: slower, not wrong.
    const holder = field.oneof ?? field;
    const bit = bits.get(holder) ?? 1 << (bits.size % BITS);
    if (field.fieldKind === "message") bits.set(holder, bit);
    shape.fields.set(field.number, fieldShape(field, bit, shapes));
  }
  return shape;
}

function fieldShape(field: DescField, bit: number, shapes: Map<string, WireShape>): FieldShape {
  switch (field.fieldKind) {
    case "scalar":
      return scalarShape(field.scalar, false);
    case "enum":
      return ENUM;
    case "message":
      return { ...BYTES, message: wireShape(field.message, shapes), bit };
    case "list":
      if (field.listKind === "scalar") return scalarShape(field.scalar, true);
      if (field.listKind === "enum") return { ...ENUM, packed: 0 };
      return { ...BYTES, message: wireShape(field.message, shapes) };
    case "map": {
      const fields = new Map([[1, { ...scalarShape(field.mapKey, false), key: true }]]);
      let required = 0;
      if (field.mapKind === "scalar") fields.set(2, scalarShape(field.scalar, false));
      if (field.mapKind === "enum") fields.set(2, ENUM);
      if (field.mapKind === "message") {
        required = 1;
        fields.set(2, { ...BYTES, message: wireShape(field.message, shapes), bit: required });
      }
      return { ...BYTES, message: { fields, required } };
    }
  }
}

const BYTES: FieldShape = { wire: LENGTH, packed: undefined, text: false, key: false, message: undefined, bit: 0 };
const TEXT: FieldShape = { ...BYTES, text: true };
const ENUM: FieldShape = { ...BYTES, wire: VARINT };

function scalarShape(type: ScalarType, list: boolean): FieldShape {
  if (type === ScalarType.STRING) return TEXT;
  if (type === ScalarType.BYTES) return BYTES;
  const size = FIXED_SIZES.get(type) ?? 0;
  const wire = size === 0 ? VARINT : size === 8 ? FIXED64 : FIXED32;
  return { ...BYTES, wire, packed: list ? size : undefined };
}

const FIXED_SIZES: ReadonlyMap<ScalarType, 4 | 8> = new Map([
  [ScalarType.DOUBLE, 8],
  [ScalarType.FIXED64, 8],
  [ScalarType.SFIXED64, 8],
  [ScalarType.FLOAT, 4],
  [ScalarType.FIXED32, 4],
  [ScalarType.SFIXED32, 4],
]);

/**
 * Whether ts-proto and protobuf-es read the same message from these bytes. Where they might not, by a wrong wire type, a
 * group, text that is not UTF-8 or a message that is there twice, it says no; it says no to some others as well.
 */
export function isPlain(bytes: Uint8Array, shape: WireShape): boolean {
  return scan(bytes, 0, bytes.length, shape, 0) === bytes.length;
}

const NOT_PLAIN = -1;

/** Reads fields up to `end`. @returns `end`, or NOT_PLAIN. */
function scan(bytes: Uint8Array, start: number, end: number, shape: WireShape, depth: number): number {
  if (depth > MAX_DEPTH) return NOT_PLAIN;
  let at = start;
  let seen = 0;
  while (at < end) {
    const tag = bytes[at] ?? 0;
    let number = tag >>> 3;
    const wire = tag & 7;
    at++;
    if (tag >= 0x80) {
      // Two bytes hold fields up to 2,047; there are none above.
      const more = bytes[at++] ?? 0x80;
      if (more >= 0x80) return NOT_PLAIN;
      number = (number & 0xf) | (more << 4);
    }
    if (number === 0) return NOT_PLAIN;
    const field = shape.fields.get(number);
    const next = skip(bytes, at, end, wire);
    if (next > end || next === NOT_PLAIN) return NOT_PLAIN;
    if (field !== undefined) {
      if (wire !== field.wire) {
        if (wire !== LENGTH || field.packed === undefined) return NOT_PLAIN;
        if (!isPacked(bytes, contents(bytes, at), next, field.packed)) return NOT_PLAIN;
      } else if (field.text) {
        const from = contents(bytes, at);
        if (!isText(bytes, from, next) || (field.key && isProto(bytes, from, next))) return NOT_PLAIN;
      } else if (field.message !== undefined) {
        if ((seen & field.bit) !== 0) return NOT_PLAIN;
        seen |= field.bit;
        if (scan(bytes, contents(bytes, at), next, field.message, depth + 1) !== next) return NOT_PLAIN;
      }
    }
    at = next;
  }
  return (seen & shape.required) === shape.required ? at : NOT_PLAIN;
}

/** Where a value ends; past `end` when it is cut off. */
function skip(bytes: Uint8Array, at: number, end: number, wire: number): number {
  switch (wire) {
    case VARINT:
      return afterVarint(bytes, at, end);
    case FIXED64:
      return at + 8;
    case FIXED32:
      return at + 4;
    case LENGTH: {
      const start = afterVarint(bytes, at, end);
      return start === NOT_PLAIN ? NOT_PLAIN : start + lengthAt(bytes, at);
    }
    default:
      return NOT_PLAIN;
  }
}

const MAX_VARINT_BYTES = 10;

function afterVarint(bytes: Uint8Array, at: number, end: number): number {
  const limit = Math.min(end, at + MAX_VARINT_BYTES);
  for (let next = at; next < limit; next++) if ((bytes[next] ?? 0) < 0x80) return next + 1;
  return NOT_PLAIN;
}

/** A length as a number: one of more than four bytes, over 256 MiB, is past every end. */
function lengthAt(bytes: Uint8Array, at: number): number {
  let length = 0;
  for (let index = 0; index < 4; index++) {
    const byte = bytes[at + index] ?? 0;
    length |= (byte & 0x7f) << (7 * index);
    if (byte < 0x80) return length;
  }
  return Number.POSITIVE_INFINITY;
}

function contents(bytes: Uint8Array, at: number): number {
  return afterVarint(bytes, at, bytes.length);
}

function isPacked(bytes: Uint8Array, start: number, end: number, size: number): boolean {
  if (size !== 0) return (end - start) % size === 0;
  return start === end || (bytes[end - 1] ?? 0x80) < 0x80;
}

// ts-proto's maps are plain objects, in which `__proto__` is lost.
function isProto(bytes: Uint8Array, start: number, end: number): boolean {
  return end - start === "__proto__".length && bytes[start] === "_".charCodeAt(0);
}

// A call into C++ costs as much as a loop over this many bytes.
const SHORT_TEXT = 64;

function isText(bytes: Uint8Array, start: number, end: number): boolean {
  if (end - start <= SHORT_TEXT) {
    let at = start;
    while (at < end && (bytes[at] ?? 0x80) < 0x80) at++;
    if (at === end) return true;
  }
  return isUtf8(bytes.subarray(start, end));
}
