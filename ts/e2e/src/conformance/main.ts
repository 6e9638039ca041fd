/**
 * The conformance suite: every client against every server, directly and through Envoy, in the clear and with mutual TLS.
 *
 * Usage: main.ts [--server NAME]... [--client NAME]... [--mode MODE]... ; each narrows the run. Exits 0 when every pair conforms.
 */
import { join } from "node:path";
import { parseArgs } from "node:util";
import { WIRE_CHECKS } from "@uait/conformance";
import { withFolder } from "../harness/folder.js";
import { orderCases } from "./cases.js";
import { clients, servers, wire } from "./languages.js";
import { conforms, failures, matrix, type Pair } from "./matrix.js";
import { Clients } from "./run.js";
import { schedule } from "./schedule.js";
import { modes, Stage } from "./stage.js";
import { buildDescriptors, makeTls } from "./surroundings.js";

const { values } = parseArgs({
  options: {
    server: { type: "string", multiple: true },
    client: { type: "string", multiple: true },
    mode: { type: "string", multiple: true },
  },
});
const wanted = (chosen: string[] | undefined, name: string): boolean => chosen === undefined || chosen.includes(name);

// A pair waits, for drains and deadlines, for half of its time, and for its turn on the processors; these keep them busy.
const LANES = 10;

const started = Date.now();
const pairs: Pair[] = [];
const wirePairs: Pair[] = [];
let count = 0;

await withFolder(async (folder) => {
  const runners = new Clients();
  const [tls, descriptors, cases] = await Promise.all([
    makeTls(join(folder, "tls")),
    buildDescriptors(folder),
    orderCases(folder),
  ]);
  count = cases.count;
  const opened = await Promise.allSettled(
    modes
      .filter((mode) => wanted(values.mode, mode.name))
      .map((mode) => Stage.open({ mode, folder: join(folder, mode.name), tls, descriptors, clients: runners, cases })),
  );
  const stages = opened.flatMap((each) => (each.status === "fulfilled" ? [each.value] : []));
  try {
    const failed = opened.find((each) => each.status === "rejected");
    if (failed !== undefined) throw failed.reason;
    const slots = servers
      .filter((server) => wanted(values.server, server.name))
      .flatMap((server) => stages.map((stage) => ({ stage, server, slot: `${stage.mode.name} ${server.name}` })));
    const chosen = [...clients, wire].filter((client) => wanted(values.client, client.name));
    // Each slot begins with another client, so that programs which make many runs make them in few processes.
    const runs = chosen.flatMap((_, round) =>
      slots.flatMap((slot, index) => {
        const client = chosen[(round + index) % chosen.length];
        if (client === undefined || (client === wire && (slot.stage.mode.envoy || slot.stage.mode.tls))) return [];
        return [{ ...slot, client }];
      }),
    );
    await schedule(runs, LANES, async ({ stage, server, client }) => {
      (client === wire ? wirePairs : pairs).push(await stage.run(server, client));
    });
    await runners.close();
  } finally {
    await Promise.all(stages.map((stage) => stage.close()));
  }
});

const order = (pair: Pair): number => clients.findIndex((client) => client.name === pair.client);
const sorted = modes.flatMap((mode) =>
  servers.flatMap((server) =>
    pairs.filter((pair) => pair.mode === mode.name && pair.server === server.name).sort((a, b) => order(a) - order(b)),
  ),
);
console.log(matrix(sorted, count));
const wireCases = WIRE_CHECKS.length;
if (wirePairs.length > 0) console.log(`\n${matrix(wirePairs, wireCases)}`);

const failed = [...failures(sorted), ...failures(wirePairs)];
for (const line of failed) console.log(`\n${line}`);
const bad =
  sorted.filter((pair) => !conforms(pair, count)).length +
  wirePairs.filter((pair) => !conforms(pair, wireCases)).length;
const all = sorted.length + wirePairs.length;
console.log(`\nconformance: ${all - bad} of ${all} pairs conform, in ${((Date.now() - started) / 1000).toFixed(0)} s`);
process.exitCode = bad > 0 || all === 0 ? 1 : 0;
