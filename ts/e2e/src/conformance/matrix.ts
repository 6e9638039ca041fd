import type { CaseResult } from "./run.js";

/** The results of one client against one server in one mode. */
export interface Pair {
  readonly server: string;
  readonly client: string;
  /** How the client reached the server, such as "envoy+tls". */
  readonly mode: string;
  readonly results: readonly CaseResult[];
}

const passed = (pair: Pair): number => pair.results.filter((result) => result.ok).length;

/** A pair conforms when it ran as many cases as the file holds and each passed. */
export const conforms = (pair: Pair, cases: number): boolean => pair.results.length === cases && passed(pair) === cases;

/** A table for each mode: a row for each server, a column for each client, passed of all cases. */
export function matrix(pairs: readonly Pair[], cases: number): string {
  const modes = [...new Set(pairs.map((pair) => pair.mode))];
  return modes
    .map((mode) =>
      table(
        mode,
        pairs.filter((pair) => pair.mode === mode),
        cases,
      ),
    )
    .join("\n\n");
}

function table(mode: string, pairs: readonly Pair[], cases: number): string {
  const clients = [...new Set(pairs.map((pair) => pair.client))];
  const servers = [...new Set(pairs.map((pair) => pair.server))];
  const cell = (server: string, client: string): string => {
    const pair = pairs.find((candidate) => candidate.server === server && candidate.client === client);
    if (pair === undefined) return "-";
    return `${passed(pair)}/${cases}${conforms(pair, cases) ? "" : " !"}`;
  };
  const rows = [
    [`${mode}: server \\ client`, ...clients],
    ...servers.map((server) => [server, ...clients.map((client) => cell(server, client))]),
  ];
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0))) ?? [];
  return rows
    .map((row) =>
      row
        .map((text, column) => text.padEnd(widths[column] ?? 0))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

/** Each failed case in a line or more: server, client, mode, case, and what came instead. */
export function failures(pairs: readonly Pair[]): string[] {
  return pairs.flatMap((pair) =>
    pair.results
      .filter((result) => !result.ok)
      .map((result) => `${pair.mode}: ${pair.client} -> ${pair.server}: ${result.case}: ${result.error ?? "failed"}`),
  );
}
