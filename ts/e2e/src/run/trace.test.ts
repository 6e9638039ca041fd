/** One Run in Jaeger: every hop, in all four languages, and no hop that the catalogue does not declare. */
import { beforeAll, expect, test } from "vitest";
import { until } from "../harness/network.js";
import { Mesh } from "../mesh/mesh.js";
import { calls, orphans, readTrace, type Span } from "../mesh/trace.js";
import { Asker, answered, JUDGED_ONCE } from "./ask.js";

/** What a Run that is judged by a model asks of whom. */
const EXPECTED = [
  "agent-selector -> intelligent-parameter",
  "agent-selector -> llm-router",
  "context -> memory",
  "dspy -> llm-router",
  "llm-router -> ml-inference",
  "memory -> ml-inference",
  "memory -> weaviate-client",
  "orchestrator -> ab-mcts",
  "orchestrator -> agent-selector",
  "orchestrator -> context",
  "orchestrator -> dspy",
  "orchestrator -> llm-router",
];
/** Exporters send what they have at least every 5 s. */
const FLUSH_MS = 30_000;

let mesh: Mesh;
let spans: readonly Span[];

beforeAll(async () => {
  mesh = await Mesh.open();
  const asker = await Asker.alone(mesh);
  try {
    const answer = answered(await asker.run(JUDGED_ONCE));
    spans = await until(
      async () => {
        const found = await readTrace(mesh.address("jaeger", "query"), answer.traceId);
        const whole = orphans(found).length === 0 && EXPECTED.every((edge) => calls(found).includes(edge));
        return whole && found;
      },
      { what: `the whole trace ${answer.traceId}`, timeoutMs: FLUSH_MS, everyMs: 250 },
    );
  } finally {
    asker.close();
  }
});

test("trace_of_a_run_has_exactly_these_calls", () => {
  expect(calls(spans)).toEqual(EXPECTED);
});

test("trace_of_a_run_has_no_call_that_the_catalogue_does_not_declare", () => {
  const declared = mesh.catalogue.services.flatMap(({ name, calls: called }) =>
    called.map(({ service }) => `${name} -> ${service}`),
  );
  expect(calls(spans).filter((edge) => !declared.includes(edge))).toEqual([]);
});

test("trace_of_a_run_shows_all_four_languages", () => {
  const services = new Set(spans.map(({ service }) => service));
  const languages = mesh.catalogue.services.filter(({ name }) => services.has(name)).map(({ language }) => language);
  expect([...new Set(languages)].sort()).toEqual(["go", "python", "rust", "typescript"]);
});

test("trace_of_a_run_begins_at_the_edge", () => {
  const roots = spans.filter(({ parent }) => parent === undefined);
  expect(roots.map(({ service }) => service)).toEqual(["envoy-edge"]);
});
