import { join } from "node:path";
import { freeBase } from "../harness/network.js";
import { type Cases, orderCases } from "./cases.js";
import { type Client, clients, servers, wire } from "./languages.js";
import type { Pair } from "./matrix.js";
import { Clients } from "./run.js";
import { schedule } from "./schedule.js";
import { modes, PORTS, Stage } from "./stage.js";
import { makeTls } from "./surroundings.js";

export interface PairsOptions {
  readonly folder: string;
  /** Names of the servers, clients and modes to run; all where it is not given. */
  readonly server: readonly string[] | undefined;
  readonly client: readonly string[] | undefined;
  readonly mode: readonly string[] | undefined;
}

export interface Pairs {
  readonly pairs: readonly Pair[];
  /** Those of the wire's own checks. */
  readonly wirePairs: readonly Pair[];
  /** How many cases a pair has. */
  readonly count: number;
}

// A pair waits, for drains and deadlines, for half of its time, and for its turn on the processors; these keep them busy.
const LANES = 10;

/** Runs each client against each server in each mode. */
export async function runPairs({ folder, ...chosen }: PairsOptions): Promise<Pairs> {
  const pairs: Pair[] = [];
  const wirePairs: Pair[] = [];
  const runners = new Clients();
  const cases = await orderCases(folder);
  const stages = await openStages(folder, chosen.mode, runners, cases);
  try {
    const slots = servers
      .filter(({ name }) => wanted(chosen.server, name))
      .flatMap((server) => stages.map((stage) => ({ stage, server, slot: `${stage.mode.name} ${server.name}` })));
    const called = [...clients, wire].filter(({ name }) => wanted(chosen.client, name));
    await schedule(rounds(slots, called), LANES, async ({ stage, server, client }) => {
      (client === wire ? wirePairs : pairs).push(await stage.run(server, client));
    });
    await runners.close();
  } finally {
    await Promise.all(stages.map((stage) => stage.close()));
  }
  return { pairs, wirePairs, count: cases.count };
}

function wanted(chosen: readonly string[] | undefined, name: string): boolean {
  return chosen === undefined || chosen.includes(name);
}

async function openStages(
  folder: string,
  chosen: readonly string[] | undefined,
  runners: Clients,
  cases: Cases,
): Promise<Stage[]> {
  const [tls, base] = await Promise.all([makeTls(join(folder, "tls")), freeBase(modes.length * PORTS)]);
  const opened = await Promise.allSettled(
    modes
      .map((mode, index) => ({ mode, basePort: base + index * PORTS }))
      .filter(({ mode }) => wanted(chosen, mode.name))
      .map((own) => Stage.open({ ...own, folder: join(folder, own.mode.name), tls, clients: runners, cases })),
  );
  const stages = opened.flatMap((each) => (each.status === "fulfilled" ? [each.value] : []));
  const failed = opened.find((each) => each.status === "rejected");
  if (failed === undefined) return stages;
  await Promise.all(stages.map((stage) => stage.close()));
  throw failed.reason;
}

/** Each slot with each client. Each begins with another, so that programs which make many runs need few processes. */
function rounds<Slot extends { readonly stage: Stage }>(
  slots: readonly Slot[],
  called: readonly Client[],
): (Slot & { readonly client: Client })[] {
  return called.flatMap((_, round) =>
    slots.flatMap((slot, index) => {
      const client = called[(round + index) % called.length];
      const { envoy, tls } = slot.stage.mode;
      return client === undefined || (client === wire && (envoy || tls)) ? [] : [{ ...slot, client }];
    }),
  );
}
