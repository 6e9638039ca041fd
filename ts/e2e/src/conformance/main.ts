/**
 * The conformance suite: every client against every server, directly and through Envoy, in the clear and with mutual TLS.
 *
 * Usage: main.ts [--server NAME]... [--client NAME]... [--mode MODE]... ; each narrows the run. Exits 0 when every pair conforms.
 */
import { readFile } from "node:fs/promises";
import { parseArgs } from "node:util";
import { WIRE_CHECKS } from "@uait/conformance";
import { parse } from "yaml";
import { withFolder } from "../harness/folder.js";
import { inRepository } from "../harness/repository.js";
import { clients, servers, wire } from "./languages.js";
import { conforms, failures, matrix, type Pair } from "./matrix.js";
import { modes, Stage } from "./stage.js";

const { values } = parseArgs({
  options: {
    server: { type: "string", multiple: true },
    client: { type: "string", multiple: true },
    mode: { type: "string", multiple: true },
  },
});
const wanted = (chosen: string[] | undefined, name: string): boolean => chosen === undefined || chosen.includes(name);

const file = await readFile(inRepository("proto", "uait", "echo", "v1", "cases.yaml"), "utf8");
const cases = (parse(file) as { cases: unknown[] }).cases.length;

const started = Date.now();
const pairs: Pair[] = [];
const wirePairs: Pair[] = [];

await withFolder(async (folder) => {
  const stage = await Stage.open(folder);
  try {
    // Three servers at a time: a pair waits for drains, delays and starts for most of its time. Interpreters begin.
    const queue = servers
      .filter((server) => wanted(values.server, server.name))
      .sort((a, b) => Number(b.slow) - Number(a.slow));
    const worker = async (): Promise<void> => {
      for (let server = queue.shift(); server !== undefined; server = queue.shift()) {
        for (const mode of modes.filter((candidate) => wanted(values.mode, candidate.name))) {
          for (const client of clients.filter((candidate) => wanted(values.client, candidate.name))) {
            pairs.push(await stage.run(server, client, mode));
          }
          if (!mode.envoy && wanted(values.client, wire.name)) {
            if (!mode.tls) wirePairs.push(await stage.run(server, wire, mode));
          }
        }
      }
    };
    await Promise.all([worker(), worker(), worker()]);
  } finally {
    await stage.close();
  }
});

const order = (pair: Pair): number => clients.findIndex((client) => client.name === pair.client);
const sorted = modes.flatMap((mode) =>
  servers.flatMap((server) =>
    pairs.filter((pair) => pair.mode === mode.name && pair.server === server.name).sort((a, b) => order(a) - order(b)),
  ),
);
console.log(matrix(sorted, cases));
const wireCases = WIRE_CHECKS.length;
if (wirePairs.length > 0) console.log(`\n${matrix(wirePairs, wireCases)}`);

const failed = [...failures(sorted), ...failures(wirePairs)];
for (const line of failed) console.log(`\n${line}`);
const bad =
  sorted.filter((pair) => !conforms(pair, cases)).length +
  wirePairs.filter((pair) => !conforms(pair, wireCases)).length;
const all = sorted.length + wirePairs.length;
console.log(`\nconformance: ${all - bad} of ${all} pairs conform, in ${((Date.now() - started) / 1000).toFixed(0)} s`);
process.exitCode = bad > 0 || all === 0 ? 1 : 0;
