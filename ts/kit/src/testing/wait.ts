import { createServer } from "node:net";
import { setTimeout as delay } from "node:timers/promises";

const POLL_MS = 10;

/** Waits until a condition holds. @throws Error, saying what was waited for, when it does not within `limitMs`. */
export async function waitUntil(
  what: string,
  condition: () => boolean | Promise<boolean>,
  limitMs = 10_000,
): Promise<void> {
  const deadlineMs = performance.now() + limitMs;
  while (!(await condition())) {
    if (performance.now() > deadlineMs) throw new Error(`not within ${limitMs} ms: ${what}`);
    await delay(POLL_MS);
  }
}

/**
 * The ports from which tests take theirs. They lie below those that kernels give to connections and to who asks for any, so
 * that nothing takes one before its server listens, or while its server is away.
 */
const FIRST_PORT = 25_000;
const LAST_PORT = 32_767;
/** A prime, so that processes whose ids are near begin far from each other. */
const STRIDE = 997;

let port = FIRST_PORT + ((process.pid * STRIDE) % (LAST_PORT - FIRST_PORT));

/** A TCP port of loopback that is free now, and that this process has not got before. */
export async function freePort(): Promise<number> {
  for (;;) {
    port = port < LAST_PORT ? port + 1 : FIRST_PORT;
    const server = createServer();
    const candidate = port;
    const free = await new Promise<boolean>((resolve) => {
      server.once("error", () => resolve(false)).listen(candidate, "127.0.0.1", () => resolve(true));
    });
    if (!free) continue;
    await new Promise((resolve) => server.close(resolve));
    return candidate;
  }
}
