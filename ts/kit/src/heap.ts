import { setFlagsFromString } from "node:v8";
import type { LoadMeter } from "./load.js";

// Loading modules allocates so much at once that V8 grows its young generation to 32 MB and, idle, never gives it back.
// Held at its first size until there is load (deploy/decisions/0052), it grows as ever from then on.
setFlagsFromString("--semi-space-growth-factor=1");

const LOADED_RPS = 100;

/** Lets the young generation grow as soon as calls come in numbers. */
export function growHeapUnderLoad(load: LoadMeter): void {
  const timer = setInterval(() => {
    if (load.utilisation.rps < LOADED_RPS) return;
    setFlagsFromString("--semi-space-growth-factor=2");
    clearInterval(timer);
  }, 1000).unref();
}
