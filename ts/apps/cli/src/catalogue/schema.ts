import { z } from "zod";

/** Languages that services are written in. */
export const LANGUAGES = ["typescript", "go", "rust", "python"] as const;

/** Layers from the top: a call goes from one to itself or to a lower one. */
export const LAYERS = ["edge", "orchestration", "data", "compute"] as const;

const name = z
  .string()
  .regex(/^[a-z][a-z0-9-]{0,62}$/, "must be lower-case letters, digits and hyphens, a letter first, at most 63");
const port = z.int().min(1).max(65535);
const purpose = z.string().min(1).max(120);

const resources = z.strictObject({
  /** Cores. */
  cpu: z.number().positive().max(256),
  /** MiB of memory. */
  memory_mib: z.int().min(16).max(1_048_576),
});

const call = z.union([
  name.transform((service) => ({ service })),
  z.strictObject({ service: name, exception: z.string().min(1) }),
]);

const httpRoute = z.strictObject({
  /** A path, or with a slash at its end all paths below it. */
  path: z.string().regex(/^(\/[A-Za-z0-9._~-]+)+\/?$/),
  /** Scopes of which a key needs one, the one to ask for first; none for what is open without a key. */
  scopes: z.array(z.string().regex(/^[a-z][a-z0-9-]{0,62}\.(read|write|admin)$/)).default([]),
});

const service = z.strictObject({
  name,
  language: z.enum(LANGUAGES),
  layer: z.enum(LAYERS),
  port,
  /** HTTP/1 port of /metrics and /healthz; port + 10000 when absent. */
  http_port: port.optional(),
  /** Folder under `<language>/services`; the name when absent. */
  folder: name.optional(),
  /** Full names of the gRPC services it serves. */
  grpc: z.array(z.string().regex(/^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*\.[A-Z][A-Za-z0-9]*$/)).min(1),
  calls: z.array(call).default([]),
  /** What its HTTP port answers to callers outside, by way of Envoy's edge. */
  http: z.array(httpRoute).default([]),
  replicas: z.int().min(1).max(4).default(1),
  tenantless: z.boolean().default(false),
  /** Variables beyond the kit's; the whole value `{seeds}`, `{descriptors}`, `{catalogue}`, `{models}` or `{data}` is filled in, and addresses such as `{weaviate.http}` within one. */
  environment: z.record(z.string().regex(/^UAIT_[A-Z0-9_]+$/), z.string()).default({}),
  state: z.enum(["built", "contract"]),
  health: z
    .strictObject({
      /** Name asked of grpc.health.v1; empty for the whole server. */
      service: z.string().default(""),
      /** Seconds from start until it must serve. */
      start_seconds: z.int().min(1).max(600).default(30),
    })
    .prefault({}),
  resources,
  purpose,
});

const infrastructure = z.strictObject({
  name: z.enum(["nats", "jaeger", "weaviate", "envoy"]),
  version: z.string().regex(/^\d+\.\d+\.\d+$/),
  purpose,
  ports: z.record(z.string().regex(/^[a-z][a-z_]*$/), port),
  health: z.strictObject({
    /** Name of the port that answers HTTP. */
    port: z.string(),
    path: z.string().startsWith("/"),
    start_seconds: z.int().min(1).max(600).default(30),
  }),
  resources,
});

/** Shape of deploy/mesh.yaml; what relates its parts to one another is in rules.ts. */
export const catalogueSchema = z.strictObject({
  lease: name,
  infrastructure: z.array(infrastructure).min(1),
  services: z.array(service).min(1),
});

/** The catalogue as read. */
export type Catalogue = z.infer<typeof catalogueSchema>;
/** One service of the catalogue. */
export type Service = Catalogue["services"][number];
/** One piece of infrastructure of the catalogue. */
export type Infrastructure = Catalogue["infrastructure"][number];
/** A language of the catalogue. */
export type Language = (typeof LANGUAGES)[number];
/** A layer of the catalogue. */
export type Layer = (typeof LAYERS)[number];
