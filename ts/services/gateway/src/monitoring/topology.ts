import type { DeclaredService } from "./catalogue.js";
import type { SeenCall } from "./traces.js";

/** A service that calls another. */
export interface Edge {
  readonly caller: string;
  readonly callee: string;
  /** Whether the catalogue declares it. */
  readonly declared: boolean;
  readonly calls: number;
  /** Share of them that failed: 0 to 1; 0 without calls. */
  readonly errorRate: number;
  /** Median; `undefined` without calls. */
  readonly p50Ms: number | undefined;
}

/** Every edge that is declared between running services, or was seen; by caller, then by callee. */
export function edgesOf(services: readonly DeclaredService[], seen: readonly SeenCall[]): Edge[] {
  const names = new Set(services.map(({ name }) => name));
  const calls = new Map<string, SeenCall[]>();
  const declared = new Set<string>();
  for (const { name, calls: callees } of services) {
    for (const callee of callees.filter((each) => names.has(each))) {
      declared.add(keyOf(name, callee));
      calls.set(keyOf(name, callee), []);
    }
  }
  for (const call of seen) {
    const key = keyOf(call.caller, call.callee);
    calls.set(key, [...(calls.get(key) ?? []), call]);
  }
  return [...calls]
    .map(([key, made]) => {
      const [caller = "", callee = ""] = key.split(" ");
      const failed = made.filter((call) => call.failed).length;
      return {
        caller,
        callee,
        declared: declared.has(key),
        calls: made.length,
        errorRate: made.length === 0 ? 0 : failed / made.length,
        p50Ms: median(made.map(({ durationMs }) => durationMs)),
      };
    })
    .sort((a, b) => (keyOf(a.caller, a.callee) < keyOf(b.caller, b.callee) ? -1 : 1));
}

function keyOf(caller: string, callee: string): string {
  return `${caller} ${callee}`;
}

function median(values: readonly number[]): number | undefined {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle];
  if (upper === undefined || sorted.length % 2 === 1) return upper;
  return ((sorted[middle - 1] ?? upper) + upper) / 2;
}
