/** Log levels, least important first. */
export const LOG_LEVELS = ["debug", "info", "warn", "error"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** Who logs, and from which level on. */
export interface LogConfig {
  readonly service: string;
  readonly instance: string;
  readonly logLevel: LogLevel;
}

/** Values that a log line may carry beside its text. */
export type LogFields = Readonly<Record<string, unknown>>;

/** Writes one line; throws nothing. */
export type LogSink = (line: string) => void;

/** JSON lines on stdout: `time`, `level`, `msg`, `service`, `instance`, then the fields. */
export class Logger {
  readonly #threshold: number;
  readonly #bound: string;
  readonly #sink: LogSink;

  private constructor(threshold: number, bound: string, sink: LogSink) {
    this.#threshold = threshold;
    this.#bound = bound;
    this.#sink = sink;
  }

  static create(config: LogConfig, sink: LogSink = (line) => process.stdout.write(line)): Logger {
    const bound = encodeFields({ service: config.service, instance: config.instance });
    return new Logger(LOG_LEVELS.indexOf(config.logLevel), bound, sink);
  }

  /** A logger whose every line carries `fields`; they are encoded once. */
  with(fields: LogFields): Logger {
    return new Logger(this.#threshold, this.#bound + encodeFields(fields), this.#sink);
  }

  debug(msg: string, fields?: LogFields): void {
    this.#write("debug", msg, fields);
  }

  info(msg: string, fields?: LogFields): void {
    this.#write("info", msg, fields);
  }

  warn(msg: string, fields?: LogFields): void {
    this.#write("warn", msg, fields);
  }

  error(msg: string, fields?: LogFields): void {
    this.#write("error", msg, fields);
  }

  #write(level: LogLevel, msg: string, fields: LogFields | undefined): void {
    if (LOG_LEVELS.indexOf(level) < this.#threshold) return;
    const time = new Date().toISOString();
    const own = fields === undefined ? "" : encodeFields(fields);
    this.#sink(`{"time":"${time}","level":"${level}","msg":${JSON.stringify(msg)}${this.#bound}${own}}\n`);
  }
}

/** An error with its chain of causes as one text, for the log. */
export function describeError(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const text = error.stack ?? `${error.name}: ${error.message}`;
  return error.cause === undefined ? text : `${text}\ncaused by ${describeError(error.cause)}`;
}

function encodeFields(fields: LogFields): string {
  let text = "";
  for (const [key, value] of Object.entries(fields)) {
    const encoded = encodeValue(value);
    if (encoded !== undefined) text += `,${JSON.stringify(key)}:${encoded}`;
  }
  return text;
}

function encodeValue(value: unknown): string | undefined {
  if (value instanceof Error) return JSON.stringify(describeError(value));
  if (typeof value === "bigint") return value.toString();
  try {
    return JSON.stringify(value);
  } catch {
    return JSON.stringify(String(value));
  }
}
