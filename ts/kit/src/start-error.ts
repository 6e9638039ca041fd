import { isIP } from "node:net";

/** A reason not to start, with the exit code that a supervisor sees (sysexits.h). */
export class StartError extends Error {
  readonly exitCode: number;

  constructor(message: string, exitCode: number) {
    super(message);
    this.name = "StartError";
    this.exitCode = exitCode;
  }

  static config(variable: string, value: string, range: string): StartError {
    return new StartError(`${variable}=${value}: must be ${range}`, 78);
  }

  static portInUse(variable: string, host: string, port: number): StartError {
    return new StartError(`${variable}=${port}: ${hostPort(host, port)} is in use`, 69);
  }
}

/** Joins host and port as a URI authority does (RFC 3986, section 3.2.2). */
export function hostPort(host: string, port: number): string {
  return isIP(host) === 6 ? `[${host}]:${port}` : `${host}:${port}`;
}
