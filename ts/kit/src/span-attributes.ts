export type AttributeValue = string | number | boolean;
export type Attributes = Readonly<Record<string, AttributeValue>>;

/** More values of one key are kept by nobody: an id, say, is another in each span. */
const MAX_DERIVED = 64;

/**
 * Attributes that many spans have alike, such as those of a method's calls. What is added to them is shared as well:
 * spans wait for their batch, and each object that waits is one more for the garbage collector to copy.
 */
export class SharedAttributes {
  readonly values: Attributes;
  readonly #derived = new Map<string, Map<AttributeValue, SharedAttributes>>();

  constructor(values: Attributes) {
    this.values = Object.freeze(values);
  }

  /** These and one more. @returns `undefined` when too many have been made of that key. */
  with(key: string, value: AttributeValue): SharedAttributes | undefined {
    let ofKey = this.#derived.get(key);
    if (ofKey === undefined) {
      ofKey = new Map();
      this.#derived.set(key, ofKey);
    }
    const known = ofKey.get(value);
    if (known !== undefined || ofKey.size >= MAX_DERIVED) return known;
    const made = new SharedAttributes({ ...this.values, [key]: value });
    ofKey.set(value, made);
    return made;
  }
}
