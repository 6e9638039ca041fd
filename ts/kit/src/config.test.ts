import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { type Environment, loadConfig } from "./config.js";
import { StartError } from "./start-error.js";

const DEFAULTS = { service: "echo-ts", port: 8001 };

function refusal(env: Environment): StartError {
  try {
    loadConfig(env, DEFAULTS);
  } catch (error) {
    if (error instanceof StartError) return error;
    throw error;
  }
  throw new Error(`not refused: ${JSON.stringify(env)}`);
}

describe("loadConfig", () => {
  test("config_with_empty_environment_has_the_documented_defaults", () => {
    expect(loadConfig({}, DEFAULTS)).toEqual({
      service: "echo-ts",
      instance: `echo-ts-${process.pid}`,
      host: "127.0.0.1",
      port: 8001,
      httpPort: 18001,
      mesh: "127.0.0.1:10001",
      natsUrl: "nats://127.0.0.1:4222",
      lease: true,
      zone: "",
      logLevel: "info",
      drainDelayMs: 1000,
      drainTimeoutMs: 10_000,
      maxMessageBytes: 4_194_304,
      maxStreams: 4096,
      maxInflight: 4096,
      deadlineMs: 30_000,
      tls: undefined,
      otlpEndpoint: "http://127.0.0.1:4317",
      otelDisabled: false,
      samplerRatio: 1,
    });
  });

  test.each([
    ["8001", undefined, 18001],
    ["55536", undefined, 0],
    ["0", undefined, 0],
    ["8001", "9", 9],
  ])("http_port_of_%s_set_to_%s_is_%s", (port, httpPort, expected) => {
    expect(loadConfig({ UAIT_PORT: port, UAIT_HTTP_PORT: httpPort }, DEFAULTS).httpPort).toBe(expected);
  });

  test.each([
    ["UAIT_SERVICE", "Echo", "a name matching [a-z][a-z0-9-]{0,62}"],
    ["UAIT_INSTANCE", "a b", "1 to 128 characters of [A-Za-z0-9._-]"],
    ["UAIT_HOST", "localhost", "an IP address"],
    ["UAIT_PORT", "65536", "an integer from 0 to 65535"],
    ["UAIT_PORT", "-1", "an integer from 0 to 65535"],
    ["UAIT_PORT", "0x10", "an integer from 0 to 65535"],
    ["UAIT_HTTP_PORT", "many", "an integer from 0 to 65535"],
    ["UAIT_MESH", "127.0.0.1", "host:port"],
    ["UAIT_MESH", "127.0.0.1:0", "host:port"],
    ["UAIT_NATS_URL", "http://127.0.0.1:4222", "nats://host:port or off"],
    ["UAIT_LEASE", "yes", "one of on, off"],
    ["UAIT_ZONE", "z".repeat(65), "at most 64 characters"],
    ["UAIT_LOG_LEVEL", "trace", "one of debug, info, warn, error"],
    ["UAIT_DRAIN_DELAY_MS", "60001", "an integer from 0 to 60000"],
    ["UAIT_DRAIN_TIMEOUT_MS", "600001", "an integer from 0 to 600000"],
    ["UAIT_MAX_MESSAGE_BYTES", "1023", "an integer from 1024 to 268435456"],
    ["UAIT_MAX_STREAMS", "0", "an integer from 1 to 65536"],
    ["UAIT_MAX_INFLIGHT", "65537", "an integer from 1 to 65536"],
    ["UAIT_DEADLINE_MS", "0", "an integer from 1 to 3600000"],
    ["OTEL_EXPORTER_OTLP_ENDPOINT", "127.0.0.1:4317", "an http or https URL"],
    ["OTEL_SDK_DISABLED", "1", "one of true, false"],
    ["OTEL_TRACES_SAMPLER_ARG", "1.1", "a number from 0 to 1"],
    ["UAIT_TLS_CERT", "/nowhere/cert.pem", "the path of a readable PEM file"],
  ])("%s_set_to_%s_is_refused_with_its_range", (name, value, range) => {
    expect(refusal({ [name]: value })).toMatchObject({ message: `${name}=${value}: must be ${range}`, exitCode: 78 });
  });

  test("tls_with_one_of_three_paths_is_refused_by_the_name_of_a_missing_one", () => {
    const cert = join(mkdtempSync(join(tmpdir(), "uait-config-")), "cert.pem");
    writeFileSync(cert, "-----BEGIN CERTIFICATE-----\n");
    expect(refusal({ UAIT_TLS_CERT: cert }).message).toMatch(/^UAIT_TLS_KEY=: must be set, as /);
  });

  test("tls_file_that_is_no_pem_is_refused", () => {
    const path = join(mkdtempSync(join(tmpdir(), "uait-config-")), "cert.pem");
    writeFileSync(path, "not a certificate");
    expect(refusal({ UAIT_TLS_CERT: path, UAIT_TLS_KEY: path, UAIT_TLS_CA: path }).message).toBe(
      `UAIT_TLS_CERT=${path}: must be the path of a readable PEM file`,
    );
  });
});
