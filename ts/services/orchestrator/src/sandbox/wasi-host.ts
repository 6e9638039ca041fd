import type { WasmMemory } from "./webassembly.js";

/**
 * The whole of what a confined WebAssembly program can ask of its host (WASI preview 1): its arguments, three streams, the
 * clock and randomness. Files, sockets and processes are not refused by a rule that could be got round; nothing is here
 * that would reach them.
 */
export interface WasiStreams {
  readonly args: readonly string[];
  readonly stdin: Uint8Array;
  stdout(bytes: Uint8Array): void;
  stderr(bytes: Uint8Array): void;
}

/** Ends a program from within, as `proc_exit` must not return. */
export class ProgramExit extends Error {
  readonly code: number;

  constructor(code: number) {
    super(`exit code ${code}`);
    this.name = "ProgramExit";
    this.code = code;
  }
}

const SUCCESS = 0;
const EBADF = 8;
const EINVAL = 28;
const ENOSYS = 52;
const ESPIPE = 70;

const STDIN = 0;
const STDOUT = 1;
const STDERR = 2;

const CHARACTER_DEVICE = 2;
const RIGHT_FD_READ = 1n << 1n;
const RIGHT_FD_WRITE = 1n << 6n;

const CLOCK_REALTIME = 0;
const CLOCK_MONOTONIC = 1;
const EVENT_CLOCK = 0;
const CLOCK_IS_ABSOLUTE = 1;
const SUBSCRIPTION_BYTES = 48;
const EVENT_BYTES = 32;

const NANOS_PER_MS = 1_000_000n;

type HostFunction = (...args: never[]) => number;

/**
 * The functions of `wasi_snapshot_preview1`. A name that is asked for and is not here answers ENOSYS.
 *
 * @param names every function that the module imports
 */
export function wasiImports(
  names: readonly string[],
  memory: WasmMemory,
  streams: WasiStreams,
): Record<string, HostFunction> {
  const known = wasiFunctions(memory, streams);
  return Object.fromEntries(names.map((name) => [name, known[name] ?? (() => ENOSYS)]));
}

function wasiFunctions(memory: WasmMemory, streams: WasiStreams): Record<string, HostFunction> {
  const view = () => new DataView(memory.buffer);
  const bytes = (at: number, length: number) => new Uint8Array(memory.buffer, at, length);
  const args = streams.args.map((arg) => new TextEncoder().encode(`${arg}\0`));
  const nap = new Int32Array(new SharedArrayBuffer(4));
  let read = 0;

  return {
    args_sizes_get(count: number, size: number) {
      view().setUint32(count, args.length, true);
      view().setUint32(size, sum(args.map(({ length }) => length)), true);
      return SUCCESS;
    },
    args_get(pointers: number, buffer: number) {
      let at = buffer;
      for (const [index, arg] of args.entries()) {
        view().setUint32(pointers + 4 * index, at, true);
        bytes(at, arg.length).set(arg);
        at += arg.length;
      }
      return SUCCESS;
    },
    environ_sizes_get(count: number, size: number) {
      view().setUint32(count, 0, true);
      view().setUint32(size, 0, true);
      return SUCCESS;
    },
    environ_get: () => SUCCESS,
    clock_res_get(_clock: number, at: number) {
      view().setBigUint64(at, NANOS_PER_MS, true);
      return SUCCESS;
    },
    clock_time_get(clock: number, _precision: bigint, at: number) {
      if (clock !== CLOCK_REALTIME && clock !== CLOCK_MONOTONIC) return EINVAL;
      view().setBigUint64(at, nanos(clock), true);
      return SUCCESS;
    },
    random_get(at: number, length: number) {
      const LARGEST = 65_536;
      for (let done = 0; done < length; done += LARGEST) {
        crypto.getRandomValues(bytes(at + done, Math.min(LARGEST, length - done)));
      }
      return SUCCESS;
    },
    proc_exit(code: number): number {
      throw new ProgramExit(code);
    },
    sched_yield: () => SUCCESS,
    fd_read(fd: number, vectors: number, count: number, result: number) {
      if (fd !== STDIN) return EBADF;
      let done = 0;
      for (const { at, length } of ioVectors(view(), vectors, count)) {
        const part = streams.stdin.subarray(read, read + length);
        bytes(at, part.length).set(part);
        read += part.length;
        done += part.length;
      }
      view().setUint32(result, done, true);
      return SUCCESS;
    },
    fd_write(fd: number, vectors: number, count: number, result: number) {
      if (fd !== STDOUT && fd !== STDERR) return EBADF;
      let done = 0;
      for (const { at, length } of ioVectors(view(), vectors, count)) {
        const part = bytes(at, length).slice();
        if (fd === STDOUT) streams.stdout(part);
        else streams.stderr(part);
        done += length;
      }
      view().setUint32(result, done, true);
      return SUCCESS;
    },
    fd_fdstat_get(fd: number, at: number) {
      if (fd > STDERR) return EBADF;
      view().setUint8(at, CHARACTER_DEVICE);
      view().setUint16(at + 2, 0, true);
      view().setBigUint64(at + 8, fd === STDIN ? RIGHT_FD_READ : RIGHT_FD_WRITE, true);
      view().setBigUint64(at + 16, 0n, true);
      return SUCCESS;
    },
    fd_filestat_get(fd: number, at: number) {
      if (fd > STDERR) return EBADF;
      bytes(at, 64).fill(0);
      view().setUint8(at + 16, CHARACTER_DEVICE);
      return SUCCESS;
    },
    fd_seek: (fd: number) => (fd > STDERR ? EBADF : ESPIPE),
    fd_tell: (fd: number) => (fd > STDERR ? EBADF : ESPIPE),
    fd_close: (fd: number) => (fd > STDERR ? EBADF : SUCCESS),
    // No directory is open from the start, and one opens only beneath another.
    fd_prestat_get: () => EBADF,
    fd_prestat_dir_name: () => EBADF,
    // Only sleeping: the first clock of the list.
    poll_oneoff(subscriptions: number, events: number, count: number, result: number) {
      for (let index = 0; index < count; index++) {
        const at = subscriptions + index * SUBSCRIPTION_BYTES;
        if (view().getUint8(at + 8) !== EVENT_CLOCK) continue;
        const timeout = view().getBigUint64(at + 24, true);
        const absolute = (view().getUint16(at + 40, true) & CLOCK_IS_ABSOLUTE) !== 0;
        const wait = absolute ? timeout - nanos(view().getUint32(at + 16, true)) : timeout;
        if (wait > 0n) Atomics.wait(nap, 0, 0, Number(wait / NANOS_PER_MS) + 1);
        bytes(events, EVENT_BYTES).fill(0);
        view().setBigUint64(events, view().getBigUint64(at, true), true);
        view().setUint32(result, 1, true);
        return SUCCESS;
      }
      return ENOSYS;
    },
  };
}

function* ioVectors(
  view: DataView,
  at: number,
  count: number,
): Generator<{ readonly at: number; readonly length: number }> {
  for (let index = 0; index < count; index++) {
    yield { at: view.getUint32(at + 8 * index, true), length: view.getUint32(at + 8 * index + 4, true) };
  }
}

function nanos(clock: number): bigint {
  const ms = clock === CLOCK_REALTIME ? Date.now() : performance.now();
  return BigInt(Math.round(ms * 1e6));
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, each) => total + each, 0);
}
