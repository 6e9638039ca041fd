/** Bytes of one page of WebAssembly memory. */
export const PAGE_BYTES = 65_536;

const IMPORT_SECTION = 2;
const MEMORY_SECTION = 5;
const CUSTOM_SECTION = 0;
const HEADER_BYTES = 8;
const KIND_MEMORY = 2;

/** A module whose memory is given to it, and how many pages it wants at least. */
export interface ImportingModule {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly initialPages: number;
}

/** Where the memory of a rewritten module is imported from. */
export const MEMORY_IMPORT = { module: "sandbox", name: "memory" } as const;

/**
 * Rewrites a module that defines its memory into one that imports it, so that each instance of the one compiled module
 * gets a memory with a maximum of its own. Names and debugging sections are left out.
 *
 * @throws Error for a module without exactly one memory, or without imports
 */
export function importMemory(module: Uint8Array): ImportingModule {
  const parts: Uint8Array[] = [module.subarray(0, HEADER_BYTES)];
  const memory = sections(module).find(({ id }) => id === MEMORY_SECTION);
  if (memory === undefined) throw new Error("the module defines no memory");
  const count = readLeb(memory.body, 0);
  const limits = memory.body.subarray(count.next);
  if (count.value !== 1) throw new Error("the module defines more than one memory");
  const initial = readLeb(limits, 1);
  let imported = false;
  for (const { id, body } of sections(module)) {
    if (id === CUSTOM_SECTION || id === MEMORY_SECTION) continue;
    if (id !== IMPORT_SECTION) {
      parts.push(section(id, body));
      continue;
    }
    const imports = readLeb(body, 0);
    const entry = [...nameBytes(MEMORY_IMPORT.module), ...nameBytes(MEMORY_IMPORT.name), KIND_MEMORY, ...limits];
    parts.push(section(id, concat([leb(imports.value + 1), body.subarray(imports.next), Uint8Array.from(entry)])));
    imported = true;
  }
  if (!imported) throw new Error("the module has no imports");
  return { bytes: concat(parts), initialPages: initial.value };
}

interface Section {
  readonly id: number;
  readonly body: Uint8Array;
}

function sections(module: Uint8Array): Section[] {
  const found: Section[] = [];
  for (let at = HEADER_BYTES; at < module.length; ) {
    const id = module[at] ?? 0;
    const size = readLeb(module, at + 1);
    found.push({ id, body: module.subarray(size.next, size.next + size.value) });
    at = size.next + size.value;
  }
  return found;
}

function section(id: number, body: Uint8Array): Uint8Array {
  return concat([Uint8Array.of(id), leb(body.length), body]);
}

// Unsigned LEB128: WebAssembly core specification, section 5.2.2.
function readLeb(bytes: Uint8Array, at: number): { readonly value: number; readonly next: number } {
  let value = 0;
  for (let shift = 0, next = at; ; shift += 7) {
    const byte = bytes[next++] ?? 0;
    value += (byte & 0x7f) * 2 ** shift;
    if ((byte & 0x80) === 0) return { value, next };
  }
}

function leb(value: number): Uint8Array {
  const bytes: number[] = [];
  let rest = value;
  do {
    const low = rest % 128;
    rest = Math.floor(rest / 128);
    bytes.push(rest > 0 ? low | 0x80 : low);
  } while (rest > 0);
  return Uint8Array.from(bytes);
}

function nameBytes(name: string): Uint8Array {
  const bytes = new TextEncoder().encode(name);
  return concat([leb(bytes.length), bytes]);
}

function concat(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
