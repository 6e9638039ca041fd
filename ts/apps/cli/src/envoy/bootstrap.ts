import { isIP } from "node:net";
import {
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  type Node,
  parseDocument,
  type Scalar,
  visit,
  type YAMLMap,
} from "yaml";
import { downstreamMutualTls, type TlsFiles, upstreamTls } from "./tls.js";

/** Ports as envoy.yaml is written: those of the catalogue without UAIT_PORT_BASE. */
export const WRITTEN_PORTS = { edge: 10000, edgeTls: 10443, mesh: 10001, admin: 9901, xds: 8080, otlp: 4317 } as const;

/** What another layout changes in envoy.yaml. */
export interface Move {
  /** New port for each of WRITTEN_PORTS. */
  readonly ports: Readonly<Record<keyof typeof WRITTEN_PORTS, number>>;
  /** New place of a path as written, such as `envoy/made/clusters.yaml` or `.uait/keys`. */
  readonly path: (written: string) => string;
  /** New host of a listener or cluster by its name; undefined keeps the written one. */
  readonly host?: ((name: string) => string | undefined) | undefined;
  /** Mutual TLS on the mesh listener and towards the balancer; plain when absent. */
  readonly tls?: TlsFiles | undefined;
  /** Buckets of the edge's rate limit; as written when absent. */
  readonly rateLimit?: { readonly total: Bucket; readonly tenant: Bucket } | undefined;
}

/** A token bucket. */
export interface Bucket {
  /** Calls at once. */
  readonly burst: number;
  /** Calls a second in the long run. */
  readonly perSecond: number;
}

/**
 * Moves envoy.yaml to another layout, comments kept.
 *
 * @throws Error for a port or a path that no layout knows, so that nothing stays behind unnoticed
 */
export function moveBootstrap(text: string, move: Move): string {
  const document = parseBootstrap(text);
  const ports = new Map<unknown, number>(
    (Object.keys(WRITTEN_PORTS) as (keyof typeof WRITTEN_PORTS)[]).map((name) => [
      WRITTEN_PORTS[name],
      move.ports[name],
    ]),
  );
  visit(document, {
    Pair: (_, pair) => {
      if (!isScalar(pair.key) || !isScalar(pair.value)) return;
      if (pair.key.value === "port_value") {
        const port = ports.get(pair.value.value);
        if (port === undefined) throw new Error(`envoy.yaml: port ${String(pair.value.value)} is in no layout`);
        pair.value.value = port;
      } else if (["path", "filename"].includes(String(pair.key.value)) && isPath(pair.value)) {
        pair.value.value = move.path(pair.value.value);
      }
    },
  });
  for (const kind of ["listeners", "clusters"] as const)
    for (const part of named(document, kind)) moveHost(part, move.host);
  if (move.tls !== undefined) {
    const mesh = partNamed(document, "listeners", "mesh");
    mesh.setIn(["filter_chains", 0, "transport_socket"], document.createNode(downstreamMutualTls(move.tls)));
    partNamed(document, "clusters", "xds").set("transport_socket", document.createNode(upstreamTls(move.tls)));
  }
  if (move.rateLimit !== undefined) setRateLimit(document, move.rateLimit);
  return document.toString({ lineWidth: 0 });
}

/** Reads envoy.yaml. */
export function parseBootstrap(text: string): Document.Parsed {
  const document = parseDocument(text);
  if (document.errors[0] !== undefined) throw document.errors[0];
  return document;
}

/** A listener or static cluster of envoy.yaml by its name. */
export function partNamed(document: Document, kind: "listeners" | "clusters", name: string): YAMLMap {
  const found = named(document, kind).find((part) => part.get("name") === name);
  if (found === undefined) throw new Error(`envoy.yaml has no ${kind} named ${name}`);
  return found;
}

function named(document: Document, kind: "listeners" | "clusters"): YAMLMap[] {
  const parts = document.getIn(["static_resources", kind]);
  if (!isSeq(parts)) throw new Error(`envoy.yaml has no ${kind}`);
  return parts.items.filter((part): part is YAMLMap => isMap(part));
}

function isPath(value: Scalar): value is Scalar<string> {
  return typeof value.value === "string" && /^(envoy|\.uait)\//.test(value.value);
}

function moveHost(part: YAMLMap, host: Move["host"]): void {
  const moved = host?.(String(part.get("name")));
  if (moved === undefined) return;
  // A name in place of an address has to be looked up.
  if (part.get("type") === "STATIC" && isIP(moved) === 0) part.set("type", "STRICT_DNS");
  visit(part as Node, {
    Pair: (_, pair) => {
      if (!isScalar(pair.key) || pair.key.value !== "socket_address" || !isMap(pair.value)) return;
      pair.value.set("address", moved);
    },
    Alias: (_, alias) => (isAlias(alias) ? visit.SKIP : undefined),
  });
}

function setRateLimit(document: Document, limit: NonNullable<Move["rateLimit"]>): void {
  visit(document, {
    Map: (_, map) => {
      if (!String(map.get("@type")).endsWith(".LocalRateLimit")) return;
      map.set("token_bucket", document.createNode(bucket(limit.total)));
      map.setIn(["descriptors", 0, "token_bucket"], document.createNode(bucket(limit.tenant)));
    },
  });
}

function bucket({ burst, perSecond }: Bucket): object {
  return { max_tokens: burst, tokens_per_fill: perSecond, fill_interval: "1s" };
}
