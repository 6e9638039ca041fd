import type { Layout } from "../layout.js";
import { type Program, programs } from "./programs.js";

/** Bytes of a log file before it is rotated, and how many old ones are kept. */
const LOG_BYTES = "10MB";
const LOG_BACKUPS = 3;
/** Starts in a row that may fail; supervisord waits a second longer before each. */
const START_RETRIES = 10;

/** The environment variable by which every process of a mesh can be told from all others; its value is the mesh's folder. */
export const MARK = "UAIT_SUPERVISED";

/**
 * supervisord's configuration.
 *
 * @param builds digest of what each program runs: a program whose digest has changed is restarted by `supervisorctl update`
 */
export function supervisorConfig(mesh: Layout, builds: ReadonlyMap<string, string> = new Map()): string {
  const { run, logs } = mesh.paths;
  const head = `; Made from deploy/mesh.yaml by \`make made\`: change that, not this.
[unix_http_server]
file=${run}/supervisor.sock
chmod=0600

[supervisord]
logfile=${logs}/supervisord.log
logfile_maxbytes=${LOG_BYTES}
logfile_backups=${LOG_BACKUPS}
pidfile=${run}/supervisord.pid
childlogdir=${logs}
directory=${mesh.paths.root}
minfds=1024

[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface

[supervisorctl]
serverurl=unix://${run}/supervisor.sock
`;
  const sections = programs(mesh).map((program) => section(mesh, program, builds.get(program.name)));
  return [head, ...sections].join("\n");
}

function section(mesh: Layout, program: Program, build: string | undefined): string {
  const environment = {
    ...program.environment,
    ...(build === undefined ? {} : { UAIT_BUILD: build }),
    [MARK]: mesh.paths.home,
  };
  return `[program:${program.name}]
command=${program.command.map(argument).join(" ")}
directory=${program.directory}
environment=${Object.entries(environment)
    .map(([key, value]) => `${key}="${value.replaceAll('"', '\\"')}"`)
    .join(",")}
priority=${program.priority}
autorestart=true
startsecs=1
startretries=${START_RETRIES}
stopsignal=TERM
stopwaitsecs=${program.stopSeconds}
stopasgroup=true
killasgroup=true
redirect_stderr=true
stdout_logfile=${mesh.paths.logs}/${program.name}.log
stdout_logfile_maxbytes=${LOG_BYTES}
stdout_logfile_backups=${LOG_BACKUPS}
`;
}

function argument(text: string): string {
  return /^[\w@%+=:,./()-]+$/.test(text) ? text : `"${text.replaceAll('"', '\\"')}"`;
}
