import { parseArgs } from "node:util";
import { COMMANDS } from "./commands/index.js";
import { openContext } from "./context.js";
import { Failure } from "./failure.js";

const USAGE = `usage: uait <command> [options]

${Object.entries(COMMANDS)
  .map(([name, { summary }]) => `  ${name.padEnd(10)} ${summary}`)
  .join("\n")}
`;

const interrupted = new AbortController();

async function main(argv: readonly string[]): Promise<void> {
  const { values, positionals } = parseArgs({
    args: [...argv],
    allowPositionals: true,
    options: {
      service: { type: "string", short: "s" },
      follow: { type: "boolean", short: "f", default: false },
      name: { type: "string" },
      lang: { type: "string" },
      question: { type: "string", short: "q" },
    },
  });
  const [name, ...surplus] = positionals;
  const command = name === undefined ? undefined : COMMANDS[name];
  if (command === undefined || surplus.length > 0)
    throw new Failure({ reason: "USAGE", message: USAGE, remedy: "choose a command" });
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => interrupted.abort(signal));
  await command.run(await openContext(interrupted.signal), values);
}

main(process.argv.slice(2)).catch((cause: unknown) => {
  if (interrupted.signal.aborted) process.stderr.write(`\nstopped by ${String(interrupted.signal.reason)}\n`);
  else if (cause instanceof Failure) process.stderr.write(`\nerror: ${cause.message}\nwhat to do: ${cause.remedy}\n`);
  else process.stderr.write(`\n${cause instanceof Error ? (cause.stack ?? cause.message) : String(cause)}\n`);
  process.exitCode = 1;
});
