import { readdir, readFile, readlink } from "node:fs/promises";
import { createServer } from "node:net";
import type { Catalogue } from "../catalogue/schema.js";
import { Failure } from "../failure.js";
import { built, type Layout } from "../layout.js";

/** A port that a process of the mesh will listen on. */
export interface Claim {
  readonly port: number;
  /** Process and use, such as "envoy (edge)". */
  readonly owner: string;
}

/** Every port that the mesh's processes listen on. */
export function claims(catalogue: Catalogue, mesh: Layout): Claim[] {
  return [
    ...catalogue.infrastructure.flatMap((part) =>
      Object.keys(part.ports).map((name) => ({
        port: mesh.port(part.name, name),
        owner: `${part.name} (${name.replaceAll("_", " ")})`,
      })),
    ),
    ...built(mesh).flatMap((replica) => [
      { port: replica.port, owner: `${replica.process} (gRPC)` },
      { port: replica.httpPort, owner: `${replica.process} (HTTP)` },
    ]),
  ];
}

/**
 * Checks that nobody else listens on a port of the mesh.
 *
 * @throws Failure `PORT_IN_USE` that names each port, who needs it and, where it can be seen, who has it
 */
export async function requireFree(wanted: readonly Claim[]): Promise<void> {
  const taken = (await Promise.all(wanted.map(async (claim) => ((await isFree(claim.port)) ? [] : [claim])))).flat();
  if (taken.length === 0) return;
  const holders = await listeners();
  const lines = taken.map(({ port, owner }) => {
    const holder = holders.get(port);
    return `port ${port}, which ${owner} needs, is in use${holder === undefined ? "" : ` by ${holder}`}`;
  });
  throw new Failure({
    reason: "PORT_IN_USE",
    message: lines.join("\n"),
    remedy:
      "stop what holds it, or move every port of this mesh: UAIT_PORT_BASE=20000 make up (and the same for down, status and logs)",
  });
}

function isFree(port: number): Promise<boolean> {
  return new Promise((settle, reject) => {
    const server = createServer();
    server.once("error", (cause: NodeJS.ErrnoException) =>
      cause.code === "EADDRINUSE" ? settle(false) : reject(cause),
    );
    // All addresses: a listener on any one of them is in the way.
    server.listen({ port, host: "0.0.0.0", exclusive: true }, () => server.close(() => settle(true)));
  });
}

/** Who listens on which TCP port: `command line (pid n)`, from /proc, for the processes that this user may see. */
export async function listeners(): Promise<Map<number, string>> {
  const ports = new Map<string, number>();
  for (const table of ["/proc/net/tcp", "/proc/net/tcp6"]) {
    for (const line of (await readFile(table, "utf8").catch(() => "")).split("\n").slice(1)) {
      const [, local, , state, , , , , , inode] = line.trim().split(/\s+/);
      const port = local?.split(":")[1];
      // 0A is TCP_LISTEN (proc(5)).
      if (state === "0A" && port !== undefined && inode !== undefined)
        ports.set(`socket:[${inode}]`, Number.parseInt(port, 16));
    }
  }
  const found = new Map<number, string>();
  for (const pid of (await readdir("/proc").catch(() => [])).filter((name) => /^\d+$/.test(name))) {
    const open = await readdir(`/proc/${pid}/fd`).catch(() => []);
    for (const fd of open) {
      const port = ports.get(await readlink(`/proc/${pid}/fd/${fd}`).catch(() => ""));
      if (port !== undefined) found.set(port, `${await commandOf(pid)} (pid ${pid})`);
    }
  }
  return found;
}

async function commandOf(pid: string): Promise<string> {
  const line = (await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "")).split("\0").join(" ").trim();
  return line.length > 80 ? `${line.slice(0, 77)}...` : line;
}
