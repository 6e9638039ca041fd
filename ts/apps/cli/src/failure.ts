/** Why a command could not do its work. */
export type Reason =
  | "BUILD_FAILED"
  | "CATALOGUE_INVALID"
  | "CHECKSUM_MISMATCH"
  | "DISK_FULL"
  | "DRIFT"
  | "ENVIRONMENT_INVALID"
  | "INSTALL_FAILED"
  | "NAME_TAKEN"
  | "NOT_RUNNING"
  | "PORT_IN_USE"
  | "PROCESS_LEFT"
  | "TOOL_MISSING"
  | "UNHEALTHY"
  | "USAGE";

/** An expected failure: said to the person at the terminal with what to do about it, without a stack. */
export class Failure extends Error {
  readonly reason: Reason;
  readonly remedy: string;

  constructor(options: { reason: Reason; message: string; remedy: string; cause?: unknown }) {
    super(options.message, { cause: options.cause });
    this.name = "Failure";
    this.reason = options.reason;
    this.remedy = options.remedy;
  }
}
