import { connect } from "node:net";
import { freePort } from "@uait/kit/testing";

/** Returns `count` loopback ports that are free; all are different. */
export async function freePorts(count: number): Promise<number[]> {
  const ports: number[] = [];
  while (ports.length < count) ports.push(await freePort());
  return ports;
}

/** Whether something accepts connections at a loopback port. */
export function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: "127.0.0.1" });
    const settle = (open: boolean): void => {
      socket.destroy();
      resolve(open);
    };
    socket.once("connect", () => settle(true));
    socket.once("error", () => settle(false));
  });
}

export interface UntilOptions {
  readonly what: string;
  readonly timeoutMs: number;
  readonly everyMs?: number;
}

/** Asks again until `ask` returns something else than undefined or false; an error counts as not yet. */
export async function until<T>(
  ask: () => Promise<T | undefined | false> | T | undefined | false,
  { what, timeoutMs, everyMs = 25 }: UntilOptions,
): Promise<T> {
  const end = Date.now() + timeoutMs;
  let last: unknown;
  for (;;) {
    try {
      const answer = await ask();
      if (answer !== undefined && answer !== false) return answer;
      last = undefined;
    } catch (error) {
      last = error;
    }
    if (Date.now() >= end) {
      throw new Error(`${what}: not within ${timeoutMs} ms${last === undefined ? "" : ` (${String(last)})`}`);
    }
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
}

/** Ports below the range from which the kernel takes those of outgoing connections. */
const LOWEST_BASE = 20_000;
const HIGHEST_BASE = 31_000;

/** Finds `count` free loopback ports in a row and returns the first. */
export async function freeBase(count: number): Promise<number> {
  const start = LOWEST_BASE + Math.floor(Math.random() * (HIGHEST_BASE - LOWEST_BASE));
  for (let tried = 0; tried < HIGHEST_BASE - LOWEST_BASE; tried += count) {
    const base = LOWEST_BASE + ((start - LOWEST_BASE + tried) % (HIGHEST_BASE - LOWEST_BASE));
    const taken = await Promise.all(Array.from({ length: count }, (_, index) => accepts(base + index)));
    if (!taken.includes(true)) return base;
  }
  throw new Error(`no ${count} free ports in a row from ${LOWEST_BASE} to ${HIGHEST_BASE}`);
}
