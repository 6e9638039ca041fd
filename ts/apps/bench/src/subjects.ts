import { inRepository, program, type Start, servers } from "@uait/e2e";

/** A language whose kit is measured. */
export interface Subject {
  /** Catalogue name of its echo service. */
  readonly service: string;
  /** The service with the kit. */
  readonly kit: () => Start;
  /** The same answer from the bare framework. */
  readonly bare: () => Start;
  /** What the bare framework is, for the table. */
  readonly framework: string;
  /** Most that the kit may add to the bare framework's processor time for a call, as a share of it. */
  readonly overheadLimit: number;
  /** Most resident memory of the idle service, in megabytes. */
  readonly residentLimit: number;
}

const root = inRepository();

const BARE: Readonly<Record<string, Omit<Subject, "service" | "kit">>> = {
  "echo-ts": {
    bare: () => ({
      command: [process.execPath, inRepository("ts", "apps", "bench", "dist", "bare", "main.js")],
      cwd: root,
    }),
    framework: "nice-grpc",
    overheadLimit: 0.6,
    residentLimit: 100,
  },
  "echo-go": {
    bare: () => ({ command: [program("build", "bare-go")], cwd: root }),
    framework: "grpc-go",
    overheadLimit: 0.15,
    residentLimit: 25,
  },
  "echo-rust": {
    bare: () => ({ command: [program("build", "bare-rust")], cwd: root }),
    framework: "tonic",
    overheadLimit: 0.15,
    residentLimit: 12,
  },
  "echo-python": {
    bare: () => ({
      command: [program("venv", "python"), inRepository("python", "bench", "bare.py")],
      cwd: inRepository("python", "gen"),
    }),
    framework: "grpc.aio",
    overheadLimit: 0.6,
    residentLimit: 70,
  },
};

/** Every language, in the order of the tables. */
export const subjects: readonly Subject[] = servers.map(({ name, start }) => {
  const bare = BARE[name];
  if (bare === undefined) throw new Error(`${name} has no bare server to compare with`);
  return { service: name, kit: start, ...bare };
});
