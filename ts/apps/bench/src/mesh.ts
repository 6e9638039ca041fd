/**
 * `make bench-mesh`: what a call costs, for each language: on the bare framework, with the kit, and through Envoy, with and
 * without tracing; and what happens to it when the collector is gone.
 *
 * Usage: mesh.ts [--rounds N] [--seconds N] [--service NAME]... ; prints Markdown.
 */
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { freePorts, inRepository, Nats, withFolder } from "@uait/e2e";
import { Jaeger } from "./jaeger.js";
import { describeMachine } from "./machine.js";
import { Field, type Sample, VARIANTS } from "./mesh-measures.js";
import { pairwise, type Series, table, type Verdict, verdicts, verdictTable } from "./report.js";
import { show } from "./spread.js";
import { type Subject, subjects } from "./subjects.js";

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "5" },
    seconds: { type: "string", default: "2" },
    service: { type: "string", multiple: true },
  },
});
const rounds = Number(values.rounds);
const seconds = Number(values.seconds);
const CONCURRENCIES = [1, 16];
/** Most by which a call may take longer while the collector is away. */
const COLLECTOR_AWAY_LIMIT = 0.05;

const all: Series[] = [];
const idle = new Map<Subject, number>();
const away: Verdict[] = [];

await withFolder(async (folder) => {
  const descriptors = join(folder, "descriptors.binpb");
  execFileSync(inRepository("ts", "node_modules", ".bin", "buf"), ["build", "-o", descriptors], {
    cwd: inRepository(),
  });
  const [natsPort = 0] = await freePorts(1);
  const nats = await Nats.start(join(folder, "nats"), natsPort);
  const jaeger = await Jaeger.start(join(folder, "jaeger"));
  try {
    for (const subject of subjects.filter(({ service }) => values.service?.includes(service) ?? true)) {
      console.error(`measuring ${subject.service}`);
      const field = await Field.open({ subject, jaeger, nats, descriptors, folder: join(folder, subject.service) });
      try {
        idle.set(subject, field.idleMegabytes);
        all.push(...(await measureAll(field)));
        away.push(await measureCollectorAway(field));
      } finally {
        await field.close();
      }
    }
  } finally {
    await jaeger.stop();
    await nats.stop();
  }
});

console.log(describeMachine().join("\n"));
console.log(`\n${rounds} rounds of ${seconds} s for each figure, in turn; median (least-most)\n`);
console.log(table(all));
const found = [...verdicts(all, idle), ...away];
console.log(`\n${verdictTable(found)}`);

async function measureAll(field: Field): Promise<Series[]> {
  const series = CONCURRENCIES.flatMap((concurrency) =>
    VARIANTS.map((variant) => ({ subject: field.subject, variant, concurrency, samples: [] as Sample[] })),
  );
  for (const { variant, concurrency } of series) await field.measure(variant, concurrency, 1);
  for (let round = 0; round < rounds; round += 1) {
    for (const { variant, concurrency, samples } of series)
      samples.push(await field.measure(variant, concurrency, seconds));
  }
  return series;
}

async function measureCollectorAway(field: Field): Promise<Verdict> {
  const there: Sample[] = [];
  const gone: Sample[] = [];
  for (let round = 0; round < rounds; round += 1) {
    there.push(await field.measure("Envoy traced", 1, seconds));
    await field.jaeger.stop();
    try {
      gone.push(await field.measure("Envoy traced", 1, seconds));
    } finally {
      await field.jaeger.start();
    }
  }
  const slower = pairwise(gone, there, (without, with_) => (without.p50 / with_.p50 - 1) * 100);
  return {
    what: `${field.subject.service}: p50 that a missing Jaeger adds, through Envoy, one at a time`,
    figure: `${show(slower, 1)} %`,
    limit: `<= ${COLLECTOR_AWAY_LIMIT * 100} %`,
    reached: slower.median <= COLLECTOR_AWAY_LIMIT * 100,
  };
}
