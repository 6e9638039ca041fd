import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { z } from "zod";
import type { Target } from "./echo-client.js";

export const CLIENTS = ["generated", "dynamic", "wire"] as const;

/** The command line. */
export interface Arguments {
  readonly client: (typeof CLIENTS)[number];
  readonly cases: string | undefined;
  readonly target: Target;
  readonly server: Target;
  readonly pid: number | undefined;
  readonly service: string;
  readonly only: string | undefined;
}

/** In place of a command line: many, each a line of standard input, run one after the other by one process. */
export const EACH_LINE = "--each-line";

export const USAGE = `usage: conformance --client generated|dynamic|wire --cases FILE --target HOST:PORT
  [--server HOST:PORT] [--pid N] [--service NAME] [--tls-cert F --tls-key F --tls-ca F] [--only CASE]
(--client wire has its checks built in and needs no --cases)
or: conformance ${EACH_LINE}, with such command lines, each a JSON array, on standard input`;

const DEFAULT_SERVICE = "echo-ts";

const address = z.string().regex(/^.+:\d{1,5}$/, "must be HOST:PORT");

const schema = z
  .strictObject({
    client: z.enum(CLIENTS),
    cases: z.string().optional(),
    target: address,
    server: address.optional(),
    pid: z.coerce.number().int().positive().optional(),
    service: z.string().optional(),
    "tls-cert": z.string().optional(),
    "tls-key": z.string().optional(),
    "tls-ca": z.string().optional(),
    only: z.string().optional(),
  })
  .refine(({ client, cases }) => client === "wire" || cases !== undefined, "--cases is missing");

/** Reads the command line. @throws Error that says what is wrong with it. */
export function parseArguments(argv: readonly string[]): Arguments {
  const text = { type: "string" } as const;
  const { values } = parseArgs({
    args: [...argv],
    options: {
      client: { ...text, default: "generated" },
      cases: text,
      target: text,
      server: text,
      pid: text,
      service: text,
      "tls-cert": text,
      "tls-key": text,
      "tls-ca": text,
      only: text,
    },
  });
  const result = schema.safeParse({ ...values });
  if (!result.success) throw new Error(z.prettifyError(result.error));
  const { client, cases, target, server, pid, service, only } = result.data;
  const tls = readTls(result.data["tls-cert"], result.data["tls-key"], result.data["tls-ca"]);
  return {
    client,
    cases,
    target: { address: target, tls, service },
    server: { address: server ?? target, tls, service },
    pid,
    service: service ?? DEFAULT_SERVICE,
    only,
  };
}

function readTls(cert: string | undefined, key: string | undefined, ca: string | undefined): Target["tls"] {
  if (cert === undefined && key === undefined && ca === undefined) return undefined;
  if (cert === undefined || key === undefined || ca === undefined) {
    throw new Error("--tls-cert, --tls-key and --tls-ca go together");
  }
  return { cert: readFileSync(cert), key: readFileSync(key), ca: readFileSync(ca) };
}
