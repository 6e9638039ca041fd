import { readFileSync } from "node:fs";
import { isIP } from "node:net";
import { z } from "zod";
import { LOG_LEVELS, type LogLevel } from "./log.js";
import { StartError } from "./start-error.js";

/** PEM contents for mutual TLS, used for serving and for dialling. */
export interface TlsConfig {
  readonly cert: Buffer;
  readonly key: Buffer;
  readonly ca: Buffer;
}

/** The environment of a process, read and checked as a whole before anything is bound. */
export interface KitConfig {
  readonly service: string;
  readonly instance: string;
  readonly host: string;
  readonly port: number;
  readonly httpPort: number;
  readonly mesh: string;
  /** `undefined` when the event log is off. */
  readonly natsUrl: string | undefined;
  readonly lease: boolean;
  readonly zone: string;
  readonly logLevel: LogLevel;
  readonly drainDelayMs: number;
  readonly drainTimeoutMs: number;
  readonly maxMessageBytes: number;
  readonly maxStreams: number;
  readonly maxInflight: number;
  readonly deadlineMs: number;
  readonly tls: TlsConfig | undefined;
  readonly otlpEndpoint: string;
  readonly otelDisabled: boolean;
  readonly samplerRatio: number;
}

/** What the catalogue knows of a service. */
export interface CatalogueDefaults {
  readonly service: string;
  readonly port: number;
}

export type Environment = Readonly<Record<string, string | undefined>>;

/** A variable of the environment: how to read it and, for the message of a refusal, what it must be. */
export interface Variable<T> {
  readonly schema: z.ZodType<T, string>;
  readonly range: string;
}

/** An integer in decimal digits from `min` to `max`. */
export function integerVariable(min: number, max: number): Variable<number> {
  return {
    schema: z
      .string()
      .regex(/^\d{1,15}$/)
      .transform(Number)
      .pipe(z.number().min(min).max(max)),
    range: `an integer from ${min} to ${max}`,
  };
}

/** A string that matches `pattern`; `range` says so in words. */
export function textVariable(pattern: RegExp, range: string): Variable<string> {
  return { schema: z.string().regex(pattern), range };
}

/** One of a few words. */
export function wordVariable<const T extends string>(...words: readonly T[]): Variable<T> {
  return { schema: z.enum(words), range: `one of ${words.join(", ")}` };
}

/** Reads one variable, or its default where it is unset or empty. @throws StartError with exit code 78. */
export function readVariable<T>(env: Environment, name: string, fallback: string, variable: Variable<T>): T {
  const value = env[name] === undefined || env[name] === "" ? fallback : env[name];
  const result = variable.schema.safeParse(value);
  if (!result.success) throw StartError.config(name, value, variable.range);
  return result.data;
}

const port = integerVariable(0, 65535);
const serviceName = textVariable(/^[a-z][a-z0-9-]{0,62}$/, "a name matching [a-z][a-z0-9-]{0,62}");
const instanceName = textVariable(/^[A-Za-z0-9._-]{1,128}$/, "1 to 128 characters of [A-Za-z0-9._-]");
const ipAddress: Variable<string> = {
  schema: z.string().refine((value) => isIP(value) !== 0),
  range: "an IP address",
};
const meshAddress: Variable<string> = {
  schema: z.string().refine(isHostPort),
  range: "host:port",
};
const natsUrl: Variable<string | undefined> = {
  schema: z
    .string()
    .refine((value) => value === "off" || (value.startsWith("nats://") && isHostPort(value.slice("nats://".length))))
    .transform((value) => (value === "off" ? undefined : value)),
  range: "nats://host:port or off",
};
const url: Variable<string> = {
  schema: z.string().refine((value) => /^https?:\/\//.test(value) && URL.canParse(value)),
  range: "an http or https URL",
};
const ratio: Variable<number> = {
  schema: z
    .string()
    .regex(/^(\d+(\.\d*)?|\.\d+)$/)
    .transform(Number)
    .pipe(z.number().max(1)),
  range: "a number from 0 to 1",
};

function isHostPort(value: string): boolean {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9._-]+)):(\d{1,5})$/.exec(value);
  if (match === null) return false;
  const number = Number(match[3]);
  return number >= 1 && number <= 65535 && (match[1] === undefined || isIP(match[1]) === 6);
}

/**
 * Reads the kit's part of the environment.
 *
 * @throws StartError with exit code 78 that names the first variable outside its range.
 */
export function loadConfig(env: Environment, defaults: CatalogueDefaults): KitConfig {
  const service = readVariable(env, "UAIT_SERVICE", defaults.service, serviceName);
  const grpcPort = readVariable(env, "UAIT_PORT", String(defaults.port), port);
  return {
    service,
    instance: readVariable(env, "UAIT_INSTANCE", `${service}-${process.pid}`, instanceName),
    host: readVariable(env, "UAIT_HOST", "127.0.0.1", ipAddress),
    port: grpcPort,
    httpPort: readVariable(env, "UAIT_HTTP_PORT", String(defaultHttpPort(grpcPort)), port),
    mesh: readVariable(env, "UAIT_MESH", "127.0.0.1:10001", meshAddress),
    natsUrl: readVariable(env, "UAIT_NATS_URL", "nats://127.0.0.1:4222", natsUrl),
    lease: readVariable(env, "UAIT_LEASE", "on", wordVariable("on", "off")) === "on",
    zone: readVariable(env, "UAIT_ZONE", "", textVariable(/^.{0,64}$/u, "at most 64 characters")),
    logLevel: readVariable(env, "UAIT_LOG_LEVEL", "info", wordVariable(...LOG_LEVELS)),
    drainDelayMs: readVariable(env, "UAIT_DRAIN_DELAY_MS", "1000", integerVariable(0, 60_000)),
    drainTimeoutMs: readVariable(env, "UAIT_DRAIN_TIMEOUT_MS", "10000", integerVariable(0, 600_000)),
    maxMessageBytes: readVariable(env, "UAIT_MAX_MESSAGE_BYTES", "4194304", integerVariable(1024, 268_435_456)),
    maxStreams: readVariable(env, "UAIT_MAX_STREAMS", "4096", integerVariable(1, 65_536)),
    maxInflight: readVariable(env, "UAIT_MAX_INFLIGHT", "4096", integerVariable(1, 65_536)),
    deadlineMs: readVariable(env, "UAIT_DEADLINE_MS", "30000", integerVariable(1, 3_600_000)),
    otlpEndpoint: readVariable(env, "OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4317", url),
    otelDisabled: readVariable(env, "OTEL_SDK_DISABLED", "false", wordVariable("true", "false")) === "true",
    samplerRatio: readVariable(env, "OTEL_TRACES_SAMPLER_ARG", "1", ratio),
    tls: readTls(env),
  };
}

// A free gRPC port means a free HTTP port too: port 0 + 10000 would collide between two processes of one machine.
function defaultHttpPort(grpcPort: number): number {
  return grpcPort === 0 || grpcPort + 10_000 > 65_535 ? 0 : grpcPort + 10_000;
}

function readTls(env: Environment): TlsConfig | undefined {
  const names = ["UAIT_TLS_CERT", "UAIT_TLS_KEY", "UAIT_TLS_CA"] as const;
  if (names.every((name) => !env[name])) return undefined;
  const [cert, key, ca] = names.map((name) => readPem(name, env[name] ?? ""));
  if (cert === undefined || key === undefined || ca === undefined) return undefined;
  return { cert, key, ca };
}

function readPem(name: string, path: string): Buffer {
  if (path === "") {
    throw StartError.config(name, path, "set, as UAIT_TLS_CERT, UAIT_TLS_KEY and UAIT_TLS_CA go together");
  }
  try {
    const pem = readFileSync(path);
    if (pem.includes("-----BEGIN ")) return pem;
  } catch {
    // The message below names the path; the file system's own words add nothing to it.
  }
  throw StartError.config(name, path, "the path of a readable PEM file");
}
