/**
 * The conformance suite: every client against every server, directly and through Envoy, in the clear and with mutual TLS.
 *
 * Usage: main.ts [--server NAME]... [--client NAME]... [--mode MODE]... ; each narrows the run. Exits 0 when every pair conforms.
 */
import { parseArgs } from "node:util";
import { WIRE_CHECKS } from "@uait/conformance";
import { withFolder } from "../harness/folder.js";
import { clients, servers } from "./languages.js";
import { conforms, failures, matrix, type Pair } from "./matrix.js";
import { runPairs } from "./pairs.js";
import { modes } from "./stage.js";

const { values } = parseArgs({
  options: {
    server: { type: "string", multiple: true },
    client: { type: "string", multiple: true },
    mode: { type: "string", multiple: true },
  },
});
const { server, client, mode } = values;

const started = Date.now();
const { pairs, wirePairs, count } = await withFolder((folder) => runPairs({ folder, server, client, mode }));

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
