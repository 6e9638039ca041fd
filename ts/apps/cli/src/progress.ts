/** Where a command tells what it does: one line when a step begins, one when it ends with its time. */
export interface Progress {
  /** Runs a step and reports it; `note` adds what it is waiting for. */
  step<T>(name: string, work: (note: (text: string) => void) => Promise<T>): Promise<T>;
  /** One line of text. */
  say(text: string): void;
}

/** Least time between two notes of one step, ms: enough to see movement, not a flood in a log file. */
const NOTE_INTERVAL_MS = 5000;

/** Progress on a stream, for a person and a log file alike: no cursor movement. */
export function progressOn(
  stream: { write(text: string): unknown },
  now: () => number = performance.now.bind(performance),
): Progress {
  return {
    say: (text) => void stream.write(`${text}\n`),
    step: async (name, work) => {
      const began = now();
      let noted = began;
      const seconds = (): string => `${((now() - began) / 1000).toFixed(1)} s`;
      stream.write(`  ${name} ...\n`);
      try {
        const result = await work((text) => {
          if (now() - noted < NOTE_INTERVAL_MS) return;
          noted = now();
          stream.write(`    ${name} (${seconds()}): ${text}\n`);
        });
        stream.write(`  ${name}: done in ${seconds()}\n`);
        return result;
      } catch (cause) {
        stream.write(`  ${name}: failed after ${seconds()}\n`);
        throw cause;
      }
    },
  };
}
