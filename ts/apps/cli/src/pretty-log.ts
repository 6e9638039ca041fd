import { z } from "zod";

/** A line as the kits log it (CONTRIBUTING.md, telemetry). */
const entrySchema = z.looseObject({ time: z.string(), level: z.string(), msg: z.string() });

/** Fields that every line of one file repeats. */
const REPEATED = new Set(["time", "level", "msg", "service", "instance"]);

/** A JSON log line for a person: time, level, message, then what else it has. Any other line stays as it is. */
export function prettyLine(line: string): string {
  const entry = entrySchema.safeParse(parsed(line));
  if (!entry.success) return line;
  const { time, level, msg } = entry.data;
  const fields = Object.entries(entry.data)
    .filter(([key, value]) => !REPEATED.has(key) && value !== "" && value !== undefined)
    .map(([key, value]) => `${key}=${typeof value === "string" ? value : JSON.stringify(value)}`);
  const clock = /T(\d\d:\d\d:\d\d(?:\.\d{1,3})?)/.exec(time)?.[1] ?? time;
  return [clock, level.toUpperCase().padEnd(5), msg, ...fields].join(" ");
}

function parsed(line: string): unknown {
  if (!line.startsWith("{")) return undefined;
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}
