import type { DescMessage } from "@bufbuild/protobuf";
import { compileRules } from "./rules.js";
import type { StatusError } from "./status.js";
import { validateBytes } from "./validate.js";
import { isPlain, type WireShape, wireShape } from "./wire-shape.js";

interface Compiled {
  readonly shape: WireShape;
  readonly keeps: (message: object) => boolean;
}

const shapes = new Map<string, WireShape>();

/**
 * Reads encoded messages of one type and holds them to their rules: well-formed messages that keep them are decoded once
 * and checked by compiled rules (deploy/decisions/0195). Whatever is in doubt is for protovalidate to judge.
 */
export class Contract<Message extends object> {
  readonly #schema: DescMessage;
  readonly #decode: (bytes: Uint8Array) => Message;
  /** Made at the first message; `undefined` afterwards when a rule cannot be compiled. */
  #compiled: Compiled | undefined | "not yet" = "not yet";

  /** @param decode ts-proto's decoder of the type. */
  constructor(schema: DescMessage, decode: (bytes: Uint8Array) => Message) {
    this.#schema = schema;
    this.#decode = decode;
  }

  /** @returns the message, or the INVALID_ARGUMENT with every broken rule. */
  read(bytes: Uint8Array): Message | StatusError {
    return this.readCompiled(bytes) ?? validateBytes(this.#schema, bytes) ?? this.#decode(bytes);
  }

  /** The message when it keeps its rules beyond doubt. */
  readCompiled(bytes: Uint8Array): Message | undefined {
    if (this.#compiled === "not yet") this.#compiled = this.#compile();
    if (this.#compiled === undefined || !isPlain(bytes, this.#compiled.shape)) return undefined;
    try {
      const message = this.#decode(bytes);
      return this.#compiled.keeps(message) ? message : undefined;
    } catch {
      return undefined;
    }
  }

  #compile(): Compiled | undefined {
    const keeps = compileRules(this.#schema);
    return keeps === undefined ? undefined : { shape: wireShape(this.#schema, shapes), keeps };
  }
}
