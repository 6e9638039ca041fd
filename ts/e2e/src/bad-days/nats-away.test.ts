/** NATS goes away and comes back: services stay up and say so; no event is lost and none is there twice. */
import { jetstream, jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { Event } from "@uait/gen/uait/event/v1/event.js";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { servers } from "../conformance/languages.js";
import { type Echo, echoAt } from "../harness/echo.js";
import { withFolder } from "../harness/folder.js";
import { Nats } from "../harness/nats.js";
import { freePorts, until } from "../harness/network.js";
import { Process, type Serving } from "../harness/process.js";

const KILLS = 20;
/** Acknowledged publishes between two kills, so that each kill falls into a stream of them. */
const PUBLISHES_BETWEEN_KILLS = 12;
const PUBLISHERS_PER_SERVICE = 3;

interface Health {
  readonly status: string;
  readonly checks: Readonly<Record<string, string>>;
}

let nats: Nats;
let release: () => void;
let folderUsed: Promise<void>;
const running: { readonly name: string; readonly process: Process; readonly serving: Serving; readonly echo: Echo }[] =
  [];

const health = async (http: string): Promise<Health> => {
  const response = await fetch(`http://${http}/healthz`);
  if (response.status !== 200) throw new Error(`/healthz answers ${response.status}`);
  return (await response.json()) as Health;
};

beforeAll(async () => {
  nats = await new Promise<Nats>((resolve, reject) => {
    folderUsed = withFolder(async (folder) => {
      const [port = 0] = await freePorts(1);
      resolve(await Nats.start(folder, port));
      await new Promise<void>((done) => {
        release = done;
      });
    });
    folderUsed.catch(reject);
  });
  await Promise.all(
    servers.map(async ({ name, start }) => {
      const process = new Process({
        name,
        ...start(),
        env: {
          UAIT_PORT: "0",
          UAIT_HTTP_PORT: "0",
          UAIT_LEASE: "off",
          UAIT_DRAIN_DELAY_MS: "0",
          UAIT_NATS_URL: nats.url,
          OTEL_SDK_DISABLED: "true",
        },
      });
      const serving = await process.serving();
      running.push({ name, process, serving, echo: echoAt(serving.grpc) });
    }),
  );
});

afterAll(async () => {
  for (const { echo } of running) echo.close();
  await Promise.all(running.map(({ process }) => process.stop()));
  await nats.stop();
  release();
  await folderUsed;
});

describe("NATS away", () => {
  test("services_stay_up_and_say_so", async () => {
    const up = (wanted: string): Promise<unknown> =>
      Promise.all(
        running.map(({ name, serving }) =>
          until(async () => (await health(serving.http)).checks["nats"] === wanted, {
            what: `${name} says nats ${wanted}`,
            timeoutMs: 15_000,
          }),
        ),
      );
    await up("up");
    await nats.kill();
    await up("down");
    for (const { name, echo, serving } of running) {
      expect((await echo.client.echo({ message: name })).message).toBe(name);
      expect((await health(serving.http)).status).toBe("SERVING");
    }
    await nats.start();
    await up("up");
  });

  test("killed_twenty_times_under_load_loses_and_doubles_nothing", { timeout: 240_000 }, async () => {
    const acknowledged = new Map<string, string>();
    let stopped = false;
    let wanted = 0;
    const publishers = running.flatMap(({ name, echo }) =>
      Array.from({ length: PUBLISHERS_PER_SERVICE }, async (_, publisher) => {
        for (let number = 0; !stopped; number += 1) {
          const requestId = `${name}-${publisher}-${number}`;
          // The same request_id until it is acknowledged: as a caller does who must not lose it.
          const answer = await until(
            () => echo.client.publish({ message: requestId, requestId }, { signal: AbortSignal.timeout(5_000) }),
            { what: `publish ${requestId}`, timeoutMs: 60_000 },
          );
          acknowledged.set(answer.eventId, requestId);
        }
      }),
    );
    for (let kill = 0; kill < KILLS; kill += 1) {
      wanted += PUBLISHES_BETWEEN_KILLS;
      await until(() => acknowledged.size >= wanted, { what: `${wanted} acknowledged publishes`, timeoutMs: 60_000 });
      await nats.kill();
      wanted = acknowledged.size;
      await nats.start();
    }
    await until(() => acknowledged.size >= wanted + PUBLISHES_BETWEEN_KILLS, {
      what: "publishes after the last kill",
      timeoutMs: 60_000,
    });
    stopped = true;
    await Promise.all(publishers);

    const stored = await storedIds();
    const once = new Set(stored);
    expect(
      [...acknowledged.keys()].filter((id) => !once.has(id)),
      "acknowledged but not stored",
    ).toEqual([]);
    expect(
      stored.filter((id, index) => stored.indexOf(id) !== index),
      "stored twice",
    ).toEqual([]);
    expect(stored).toHaveLength(acknowledged.size);

    const last = [...acknowledged.keys()].slice(-200);
    for (const { echo, name } of running) {
      const heard = await Promise.all(last.map((eventId) => echo.client.awaitEvent({ eventId })));
      expect(
        heard.filter(({ handled }) => handled !== 1),
        `${name} handled these more or less than once`,
      ).toEqual([]);
    }
  });
});

/** The ids of all events that the stream holds, in its order, read without any code of ours but the message type. */
async function storedIds(): Promise<string[]> {
  const connection = await connect({ servers: nats.url.replace("nats://", "") });
  try {
    const manager = await jetstreamManager(connection);
    const { state } = await manager.streams.info("UAIT_ECHO");
    const consumer = await jetstream(connection).consumers.get("UAIT_ECHO", { deliver_policy: "all" });
    const ids: string[] = [];
    const messages = await consumer.fetch({ max_messages: state.messages, expires: 30_000 });
    for await (const message of messages) {
      ids.push(Event.decode(message.data).id);
      if (ids.length === state.messages) break;
    }
    return ids;
  } finally {
    await connection.close();
  }
}
