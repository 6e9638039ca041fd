import { randomBytes } from "node:crypto";

/** The values that cases write as `${name}`. */
export class Variables {
  /** A fresh word of [a-z0-9]{16} for each run of the file. */
  readonly unique = randomBytes(8).toString("hex");
  readonly #values: Map<string, string>;

  constructor(service: string) {
    this.#values = new Map([
      ["unique", this.unique],
      ["service", service],
    ]);
  }

  set(name: string, value: string): void {
    this.#values.set(name, value);
  }

  /** Replaces `${name}` in every string of a value. @throws Error for a name that no earlier case has saved. */
  substitute<Value>(value: Value): Value {
    if (typeof value === "string") {
      return value.replace(/\$\{(\w+)\}/g, (_, name: string) => {
        const known = this.#values.get(name);
        if (known === undefined) throw new Error(`no earlier case saved \${${name}}`);
        return known;
      }) as Value;
    }
    if (Array.isArray(value)) return value.map((item) => this.substitute(item)) as Value;
    if (typeof value === "object" && value !== null) {
      return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, this.substitute(item)])) as Value;
    }
    return value;
  }
}
