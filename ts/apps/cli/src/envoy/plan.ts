import { relative } from "node:path";
import type { Catalogue } from "../catalogue/schema.js";
import type { Layout } from "../layout.js";
import { type Address, type Backend, backendsOf } from "./backend.js";
import type { Bucket } from "./bootstrap.js";
import type { TlsFiles } from "./tls.js";

/** All that one mesh's Envoy is made from, besides the contracts and envoy.yaml. */
export interface EnvoyPlan {
  /** The services that Envoy routes to. */
  readonly backends: readonly Backend[];
  /** Name of the service that answers health and reflection for the mesh and knows its endpoints; one of the backends. */
  readonly directory: string;
  /** Where Envoy listens; port 0 takes a free one. */
  readonly listen: Readonly<Record<"edge" | "edgeTls" | "mesh" | "admin", Address>>;
  /** Where spans go, OTLP over gRPC. */
  readonly otlp: Address;
  /** Files as Envoy shall open them. */
  readonly files: EnvoyFiles;
  /** Whether services and Envoy prove to each other who they are (UAIT_TLS). */
  readonly mutualTls: boolean;
  /** Origins whose pages may call the edge; a `*` stands for any port or any one label. */
  readonly corsOrigins: readonly string[];
  /** The edge's rate limit; as written in envoy.yaml when absent. */
  readonly rateLimit?: { readonly total: Bucket; readonly tenant: Bucket } | undefined;
}

/** Files that Envoy opens. */
export interface EnvoyFiles {
  /** Folder of the rendered files. */
  readonly folder: string;
  /** FileDescriptorSet of all contracts with their imports. */
  readonly descriptors: string;
  /** Public halves of the keys that sign callers' keys. */
  readonly jwks: string;
  /** Certificate of the TLS edge. */
  readonly edgeCert: string;
  readonly edgeKey: string;
  /** Certificate and authority of the mesh's mutual TLS. */
  readonly mesh: TlsFiles;
}

/** Pages that this machine serves. */
export const LOOPBACK_ORIGINS = ["http://localhost", "http://localhost:*", "http://127.0.0.1", "http://127.0.0.1:*"];

/** What a mesh's own plan may change. */
export interface PlanOptions {
  readonly files: Pick<EnvoyFiles, "folder" | "descriptors">;
  readonly mutualTls?: boolean;
  /** Address that the edge listens on; the mesh's `bind` when absent. */
  readonly edgeHost?: string;
  /** Address that the mesh listens on; loopback when absent. */
  readonly meshHost?: string;
  readonly corsOrigins?: readonly string[];
}

/** The plan of a mesh as the catalogue and its layout have it. */
export function planOf(catalogue: Catalogue, mesh: Layout, options: PlanOptions): EnvoyPlan {
  const { tls, jwks } = mesh.paths;
  const edge = options.edgeHost ?? mesh.bind;
  return {
    backends: backendsOf(mesh),
    directory: catalogue.lease,
    listen: {
      edge: { host: edge, port: mesh.port("envoy", "edge") },
      edgeTls: { host: edge, port: mesh.port("envoy", "edge_tls") },
      mesh: { host: options.meshHost ?? "127.0.0.1", port: mesh.port("envoy", "mesh") },
      admin: { host: "127.0.0.1", port: mesh.port("envoy", "admin") },
    },
    otlp: { host: mesh.host("jaeger"), port: mesh.port("jaeger", "otlp") },
    files: {
      ...options.files,
      jwks,
      edgeCert: tls.edge,
      edgeKey: tls.edgeKey,
      mesh: { ca: tls.ca, cert: tls.service, key: tls.serviceKey },
    },
    mutualTls: options.mutualTls ?? false,
    corsOrigins: options.corsOrigins ?? LOOPBACK_ORIGINS,
  };
}

/** Where a path of the written envoy.yaml is in a plan. */
export function movePath(written: string, { files }: EnvoyPlan): string {
  if (written.startsWith("envoy/")) return `${files.folder}/${relative("envoy", written)}`;
  if (written === ".uait/keys/jwks.json") return files.jwks;
  throw new Error(`envoy.yaml: path ${written} is in no plan`);
}
