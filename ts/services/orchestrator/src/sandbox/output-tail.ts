/** The last bytes of a stream, as text. */
export class OutputTail {
  readonly #limit: number;
  #parts: Uint8Array[] = [];
  #size = 0;

  constructor(limitBytes: number) {
    this.#limit = limitBytes;
  }

  write(bytes: Uint8Array): void {
    this.#parts.push(bytes.length > this.#limit ? bytes.slice(-this.#limit) : bytes);
    this.#size += Math.min(bytes.length, this.#limit);
    // In large steps, so that many small writes are not copied each time.
    if (this.#size > 2 * this.#limit) this.#join();
  }

  get text(): string {
    return new TextDecoder().decode(this.#join());
  }

  #join(): Uint8Array {
    const whole = new Uint8Array(this.#size);
    let at = 0;
    for (const part of this.#parts) {
      whole.set(part, at);
      at += part.length;
    }
    const tail = whole.slice(-this.#limit);
    this.#parts = [tail];
    this.#size = tail.length;
    return tail;
  }
}

/** Most bytes that are kept of each stream of a program. */
export const KEPT_OUTPUT_BYTES = 65_536;
