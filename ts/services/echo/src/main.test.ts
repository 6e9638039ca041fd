import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { EchoServiceDefinition } from "@uait/gen/uait/echo/v1/echo.js";
import { waitUntil } from "@uait/kit/testing";
import { createChannel, createClient, Metadata } from "nice-grpc";
import { afterEach, beforeAll, describe, expect, test } from "vitest";

const PACKAGE = fileURLToPath(new URL("..", import.meta.url));
const TSC = fileURLToPath(new URL("../../../node_modules/typescript/bin/tsc", import.meta.url));

const QUIET = {
  UAIT_PORT: "0",
  UAIT_HTTP_PORT: "0",
  UAIT_NATS_URL: "off",
  UAIT_LEASE: "off",
  OTEL_SDK_DISABLED: "true",
};

// What is built starts in half the time of what is transpiled as it loads. Nothing to do where nothing changed.
beforeAll(() => promisify(execFile)(process.execPath, [TSC, "-b", PACKAGE]));

const children: ChildProcess[] = [];

afterEach(() => {
  for (const child of children.splice(0)) if (child.exitCode === null) child.kill("SIGKILL");
});

interface Service {
  readonly child: ChildProcess;
  readonly stdout: string[];
  readonly stderr: string[];
  /** Exit code, once it has ended. */
  readonly exited: Promise<number | null>;
}

function run(env: Readonly<Record<string, string>>): Service {
  const child = spawn(process.execPath, [join(PACKAGE, "dist/main.js")], {
    env: { PATH: process.env["PATH"] ?? "", ...QUIET, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  children.push(child);
  const stdout: string[] = [];
  const stderr: string[] = [];
  createInterface({ input: child.stdout }).on("line", (line) => stdout.push(line));
  createInterface({ input: child.stderr }).on("line", (line) => stderr.push(line));
  // "close" comes when the pipes have been read to their end.
  const exited = once(child, "close").then(([code]) => code as number | null);
  return { child, stdout, stderr, exited };
}

async function serving(service: Service): Promise<{ readonly grpc: string; readonly http: string }> {
  const find = () => service.stdout.find((line) => line.includes('"msg":"serving"'));
  await waitUntil("it serves", () => find() !== undefined || service.child.exitCode !== null, 30_000);
  const line = find();
  if (line === undefined) throw new Error(`it ended: ${service.stderr.join("\n")}`);
  return JSON.parse(line) as { grpc: string; http: string };
}

describe("echo process", () => {
  test("bad_value_refuses_to_start_in_one_line_with_exit_code_78", async () => {
    const service = run({ UAIT_MAX_STREAMS: "none" });
    expect(await service.exited).toBe(78);
    expect(service.stderr).toEqual(["UAIT_MAX_STREAMS=none: must be an integer from 1 to 65536"]);
    expect(service.stdout).toEqual([]);
  });

  test("port_in_use_refuses_to_start_in_one_line_with_exit_code_69", async () => {
    const { grpc } = await serving(run({}));
    const port = grpc.split(":")[1] ?? "";
    const service = run({ UAIT_PORT: port });
    expect(await service.exited).toBe(69);
    expect(service.stderr).toEqual([`UAIT_PORT=${port}: 127.0.0.1:${port} is in use`]);
  });

  test("second_signal_ends_it_at_once_with_1", async () => {
    const service = run({ UAIT_DRAIN_DELAY_MS: "60000" });
    await serving(service);
    service.child.kill("SIGTERM");
    await waitUntil("it drains", () => service.stdout.some((line) => line.includes('"msg":"draining"')));
    service.child.kill("SIGINT");
    expect(await service.exited).toBe(1);
  });

  test("sigterm_under_load_cuts_off_nothing_and_ends_with_0", async () => {
    const CALLS = 20;
    const service = run({ UAIT_DRAIN_DELAY_MS: "200" });
    const { grpc, http } = await serving(service);
    const channel = createChannel(grpc);
    const client = createClient(EchoServiceDefinition, channel);
    const metadata = Metadata({ "x-uait-tenant": "acme" });
    const behaviour = { delay: { seconds: 1n, nanos: 0 } };
    const calls = Array.from({ length: CALLS }, () => client.echo({ message: "x", behaviour }, { metadata }));
    const underWay = async () =>
      (await (await fetch(`http://${http}/metrics`)).text()).includes(`in_flight ${CALLS}\n`);
    await waitUntil("the calls are under way", underWay);
    service.child.kill("SIGTERM");
    const answers = await Promise.all(calls);
    expect(answers.map(({ message }) => message)).toEqual(Array.from({ length: CALLS }, () => "x"));
    channel.close();
    expect(await service.exited).toBe(0);
    expect(service.stderr).toEqual([]);
  });
});
