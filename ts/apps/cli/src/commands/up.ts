import { generate } from "../build/generate.js";
import { buildLanguage, COMPILED, servicesOf } from "../build/services.js";
import type { Context } from "../context.js";
import { requireSpace } from "../files.js";
import { ensureCertificates } from "../identity/certificates.js";
import { ensureDevelopmentKey } from "../identity/development-key.js";
import { withLock } from "../lock.js";
import { renderRunFolder } from "../made/run-folder.js";
import { awaitServing } from "../mesh/awaiting.js";
import { claims, requireFree } from "../mesh/ports.js";
import { Supervisor } from "../mesh/supervisor.js";
import { type GoToolName, installGoTool } from "../tools/go-tools.js";
import { installModels } from "../tools/models.js";
import { installPython } from "../tools/python.js";

/** MiB that a mesh's folder needs: logs, and the first data of NATS and Weaviate. */
const RUN_MEBIBYTES = 256;
/** Tools that a mesh runs or its user calls; the rest are installed by the tests that use them. */
const MESH_TOOLS = ["jaeger", "weaviate-server", "grpcurl", "ghz"] as const satisfies readonly GoToolName[];

/**
 * Brings the mesh up, or up to date: installs, generates, builds, starts, waits until all is SERVING and makes one call through
 * all four languages. What it started itself it stops again when a later step fails.
 */
export async function up(context: Context): Promise<void> {
  const { mesh, catalogue, progress } = context;
  const supervisor = new Supervisor(mesh);
  const running = (await supervisor.pid()) !== undefined;
  if (running) progress.say("The mesh is running: what has changed is brought up to date.");
  else {
    // Something of this mesh may be left whose supervisor was killed: it holds the ports, and it is ours to end.
    await supervisor.stop();
    await requireFree(claims(catalogue, mesh));
  }
  await requireSpace(mesh.paths.home, RUN_MEBIBYTES);
  await withCheckout(context, async () => {
    await install(context);
    await build(context);
  });
  await ensureDevelopmentKey(mesh.paths, Math.floor(Date.now() / 1000));
  await ensureCertificates(catalogue, mesh.paths, new Date());
  await progress.step("render", () => renderRunFolder(context));
  if (!running) await requireFree(claims(catalogue, mesh));
  await start(context, supervisor, running);
}

/** Does work that changes what the whole checkout shares: its tools, stubs and builds. */
export function withCheckout<T>({ mesh, progress, signal }: Context, work: () => Promise<T>): Promise<T> {
  let said = false;
  const note = (text: string): void => {
    if (!said) progress.say(`  ${text}`);
    said = true;
  };
  return withLock(`${mesh.paths.install}/lock`, { signal, note }, work);
}

/** Installs every pinned tool. */
export async function install(context: Context): Promise<void> {
  await context.progress.step("install the Python environment, Envoy, NATS and supervisor", () =>
    installPython(context),
  );
  await context.progress.step(`install ${MESH_TOOLS.join(", ")}`, async () => {
    for (const name of MESH_TOOLS) await installGoTool(context, name);
  });
  await context.progress.step("install the models", (note) => installModels(context, note));
}

/** Generates the stubs and builds every service that has a process, all languages at once. */
export async function build(context: Context): Promise<void> {
  const { progress } = context;
  await progress.step("generate", () => generate(context));
  const results = await Promise.allSettled(
    COMPILED.filter((language) => servicesOf(context, language).length > 0).map((language) =>
      progress.step(`build ${language}`, (note) => buildLanguage(context, language, note)),
    ),
  );
  for (const result of results) if (result.status === "rejected") throw result.reason;
}

/**
 * Starts every process, or updates those that run, waits until all are SERVING and calls the chain.
 *
 * @throws what failed, after everything that this call started has been stopped
 */
export async function start(context: Context, supervisor: Supervisor, running: boolean): Promise<void> {
  const { progress, signal } = context;
  try {
    if (running) {
      const changes = await progress.step("update", () => supervisor.update(signal));
      for (const line of changes) progress.say(`    ${line}`);
      if (changes.length === 0) progress.say("    nothing has changed");
    } else await progress.step("start", () => supervisor.start(signal));
    await progress.step("wait until every process is SERVING", (note) => awaitServing(context, supervisor, note));
    await report(context);
  } catch (cause) {
    if (!running) await progress.step("stop what was started", () => supervisor.stop());
    throw cause;
  }
}

async function report(context: Context): Promise<void> {
  const { mesh, progress } = context;
  // The stubs that it imports exist only after generation.
  const { awaitTrace, callChain } = await import("../mesh/chain.js");
  const chain = await progress.step("call through all four languages", (note) => callChain(context, note));
  const spans = await progress.step("find its trace", (note) => awaitTrace(context, chain.traceId, note));
  const run = await runLines(context);
  const edge = mesh.port("envoy", "edge");
  progress.say(`
The mesh is up.
  chain    ${chain.hops.join(" -> ")} in ${chain.milliseconds.toFixed(0)} ms, each hop through Envoy
  trace    http://127.0.0.1:${mesh.port("jaeger", "query")}/trace/${chain.traceId} (${spans} spans)
${run.map((line) => `  ${line}`).join("\n")}
  edge     http://127.0.0.1:${edge}, with TLS https://localhost:${mesh.port("envoy", "edge_tls")} (authority ${mesh.paths.tls.ca})
  key      ${mesh.paths.devKey}
  try      curl -H "Authorization: Bearer $(cat ${mesh.paths.devKey})" -d '{"message":"hello"}' http://127.0.0.1:${edge}/api/v1/echo
           .uait/bin/grpcurl -plaintext localhost:${edge} list
           make ask Q="What is 6 times 7?"
  make status, make logs S=echo-go, make down`);
}

/** One real Run through the edge, with its figures. */
async function runLines(context: Context): Promise<string[]> {
  const [{ firstRun, missingForRuns }, { answerLines }] = await Promise.all([
    import("../asking/first-run.js"),
    import("../asking/report.js"),
  ]);
  const missing = missingForRuns(context);
  if (missing.length > 0) return [`run      needs ${missing.join(", ")}, which this mesh has no process of`];
  const answer = await context.progress.step("run a task", (note) => firstRun(context, note));
  return answerLines(answer, context.mesh);
}
