import { setFlagsFromString } from "node:v8";
import type { LoadMeter } from "./load.js";

// Loading modules allocates so much at once that V8 grows its young generation to 32 MB and, idle, never gives it back.
// Held at its first size until there is load (deploy/decisions/0052), it grows as ever from then on.
setFlagsFromString("--semi-space-growth-factor=1");

// With spans that wait for their batch, V8 may conclude that objects of some kind are best made in the old generation. There
// a dead one keeps its whole call until the next full collection, and calls cost a quarter more (deploy/decisions/0196).
setFlagsFromString("--no-allocation-site-pretenuring");

const LOADED_RPS = 100;

/** Lets the young generation grow as soon as calls come in numbers. */
export function growHeapUnderLoad(load: LoadMeter): void {
  const timer = setInterval(() => {
    if (load.utilisation.rps < LOADED_RPS) return;
    setFlagsFromString("--semi-space-growth-factor=2");
    clearInterval(timer);
  }, 1000).unref();
}
