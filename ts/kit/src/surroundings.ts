/** How something is that a process can do without. `off` where it is configured not to use it, `unknown` until it has answered or failed. */
export type SurroundingState = "up" | "down" | "off" | "unknown";

/** What a process can do without, and how it is at this moment. */
export interface Surroundings {
  /** Whether the trace collector takes spans. */
  readonly traces: SurroundingState;
  /** Whether the balancer holds the process's lease. */
  readonly lease: SurroundingState;
}
