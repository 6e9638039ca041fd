import "./heap.js";
import { describeError } from "./log.js";
import type { RunningServer } from "./serve.js";
import { StartError } from "./start-error.js";

/**
 * Runs a service's main: starts it, drains it on SIGTERM or SIGINT and exits 0. `start` imports the service, so that the
 * heap is held before its modules are loaded. A refusal to start is one line on
 * stderr and its own exit code; a second signal exits at once with 1.
 */
export async function run(start: () => Promise<RunningServer>): Promise<void> {
  const signalled = new Promise<void>((resolve) => {
    let signals = 0;
    const onSignal = () => {
      signals++;
      if (signals > 1) process.exit(1);
      resolve();
    };
    process.on("SIGTERM", onSignal);
    process.on("SIGINT", onSignal);
  });
  try {
    const server = await start();
    await signalled;
    await server.drain();
    process.exit(0);
  } catch (error) {
    const refusal = error instanceof StartError;
    process.stderr.write(`${refusal ? error.message : describeError(error)}\n`);
    process.exit(refusal ? error.exitCode : 1);
  }
}
