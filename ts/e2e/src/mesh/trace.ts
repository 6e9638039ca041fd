import { z } from "zod";

const traceSchema = z.object({
  data: z.array(
    z.object({
      spans: z.array(
        z.object({
          spanID: z.string(),
          operationName: z.string(),
          processID: z.string(),
          references: z.array(z.object({ refType: z.string(), spanID: z.string() })),
          tags: z.array(z.object({ key: z.string(), value: z.unknown() })),
        }),
      ),
      processes: z.record(z.string(), z.object({ serviceName: z.string() })),
    }),
  ),
});

/** One span, as Jaeger's API tells it. */
export interface Span {
  readonly id: string;
  /** Absent for a root, and for a span whose parent was made by the caller's own tracer outside the mesh. */
  readonly parent: string | undefined;
  readonly service: string;
  readonly name: string;
  /** `server`, `client`, `producer`, `consumer` or `internal`. */
  readonly kind: string;
}

/** Reads all spans of a trace from Jaeger's query API at host:port. */
export async function readTrace(jaeger: string, traceId: string): Promise<Span[]> {
  const response = await fetch(`http://${jaeger}/api/traces/${traceId}`);
  if (!response.ok) return [];
  const trace = traceSchema.parse(await response.json()).data[0];
  if (trace === undefined) return [];
  return trace.spans.map((span) => ({
    id: span.spanID,
    parent: span.references.find(({ refType }) => refType === "CHILD_OF")?.spanID,
    service: trace.processes[span.processID]?.serviceName ?? "unknown",
    name: span.operationName,
    kind: String(span.tags.find(({ key }) => key === "span.kind")?.value ?? "internal"),
  }));
}

/** The directed edges between services: a span's service after its parent's, where they differ. Sorted, each once. */
export function edges(spans: readonly Span[]): string[] {
  const byId = new Map(spans.map((span) => [span.id, span]));
  const found = spans.flatMap((span) => {
    const parent = span.parent === undefined ? undefined : byId.get(span.parent);
    return parent === undefined || parent.service === span.service ? [] : [`${parent.service} -> ${span.service}`];
  });
  return [...new Set(found)].sort();
}

/** Which service called which over gRPC, whatever proxies lie between. Sorted, each once. */
export function calls(spans: readonly Span[]): string[] {
  const byId = new Map(spans.map((span) => [span.id, span]));
  const isProxy = ({ service }: Span): boolean => service.startsWith("envoy-");
  const found = spans.flatMap((span) => {
    if (isProxy(span) || span.kind !== "server") return [];
    let caller = byId.get(span.parent ?? "");
    while (caller !== undefined && isProxy(caller)) caller = byId.get(caller.parent ?? "");
    return caller === undefined ? [] : [`${caller.service} -> ${span.service}`];
  });
  return [...new Set(found)].sort();
}

/** Spans whose parent is named but not part of the trace: a hop that made no span, or lost it. */
export function orphans(spans: readonly Span[]): Span[] {
  const ids = new Set(spans.map(({ id }) => id));
  return spans.filter(({ parent }) => parent !== undefined && !ids.has(parent));
}
