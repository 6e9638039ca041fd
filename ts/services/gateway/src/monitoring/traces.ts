import { dependencyUnavailable, Status } from "@uait/kit";
import { z } from "zod";

/** One call of a service by another, as a trace has it. */
export interface SeenCall {
  readonly caller: string;
  readonly callee: string;
  readonly durationMs: number;
  /** Whether it ended in a server's fault. */
  readonly failed: boolean;
}

/** Most traces that are looked at, the newest: parsing them holds up every other call. */
const MAX_TRACES = 200;
const TIMEOUT_MS = 5000;
/** `service.name` of the hops through Envoy, between a caller and whom it calls. */
const PROXY = /^envoy-/;
/** In the traces of every call between services. */
const MESH_PROXY = "envoy-mesh";

const page = z.object({
  data: z.array(
    z.object({
      spans: z.array(
        z.object({
          spanID: z.string(),
          processID: z.string(),
          /** Microseconds. */
          duration: z.number(),
          references: z.array(z.object({ refType: z.string(), spanID: z.string() })).default([]),
          tags: z.array(z.object({ key: z.string(), value: z.unknown() })).default([]),
        }),
      ),
      processes: z.record(z.string(), z.object({ serviceName: z.string() })),
    }),
  ),
});
type Trace = z.infer<typeof page>["data"][number];
type Span = Trace["spans"][number];

const FAULTS: ReadonlySet<unknown> = new Set<unknown>([
  Status.UNKNOWN,
  Status.DEADLINE_EXCEEDED,
  Status.INTERNAL,
  Status.UNAVAILABLE,
  Status.DATA_LOSS,
]);

/** Reads traces from Jaeger's query port. */
export class Traces {
  readonly #url: string;

  constructor(url: string) {
    this.#url = url.replace(/\/+$/, "");
  }

  /**
   * Calls between services in the newest traces of a window.
   *
   * @param window Unix times in milliseconds
   * @throws StatusError DEPENDENCY_UNAVAILABLE
   */
  async calls(window: { readonly startMs: number; readonly endMs: number }): Promise<SeenCall[]> {
    const query = new URLSearchParams({
      service: MESH_PROXY,
      start: String(Math.floor(window.startMs * 1000)),
      end: String(Math.floor(window.endMs * 1000)),
      limit: String(MAX_TRACES),
    });
    try {
      const response = await fetch(`${this.#url}/api/traces?${query}`, { signal: AbortSignal.timeout(TIMEOUT_MS) });
      return page.parse(await response.json()).data.flatMap(callsOf);
    } catch (error) {
      throw dependencyUnavailable("jaeger", error);
    }
  }
}

/** The calls in one trace: each server span, and the nearest span above it that is no proxy's. */
export function callsOf({ spans, processes }: Trace): SeenCall[] {
  const byId = new Map(spans.map((span) => [span.spanID, span]));
  const service = ({ processID }: Span) => processes[processID]?.serviceName ?? "";
  const parent = ({ references }: Span) =>
    byId.get(references.find(({ refType }) => refType === "CHILD_OF")?.spanID ?? "");
  return spans.flatMap((span) => {
    const callee = service(span);
    if (tag(span, "span.kind") !== "server" || PROXY.test(callee)) return [];
    let above = parent(span);
    while (above !== undefined && PROXY.test(service(above))) above = parent(above);
    if (above === undefined) return [];
    const failed = FAULTS.has(tag(span, "rpc.grpc.status_code"));
    return [{ caller: service(above), callee, durationMs: span.duration / 1000, failed }];
  });
}

function tag({ tags }: Span, key: string): unknown {
  return tags.find((each) => each.key === key)?.value;
}
