/** A compiled module; it can be sent to other threads without being compiled again. */
export interface WasmModule {
  readonly [Symbol.toStringTag]: string;
}

/** Linear memory. */
export interface WasmMemory {
  readonly buffer: ArrayBuffer;
}

interface WebAssemblyApi {
  readonly Module: {
    imports(module: WasmModule): { readonly module: string; readonly name: string; readonly kind: string }[];
  };
  readonly Memory: new (descriptor: { readonly initial: number; readonly maximum: number }) => WasmMemory;
  readonly Instance: new (
    module: WasmModule,
    imports: Readonly<Record<string, Readonly<Record<string, unknown>>>>,
  ) => { readonly exports: Readonly<Record<string, unknown>> };
  compile(bytes: Uint8Array<ArrayBuffer>): Promise<WasmModule>;
}

/** What is used of the WebAssembly JavaScript Interface: Node has it, its types leave it to the browser's. */
export const wasm = (globalThis as unknown as { readonly WebAssembly: WebAssemblyApi }).WebAssembly;
