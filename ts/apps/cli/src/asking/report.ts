import type { Duration } from "@uait/gen/google/protobuf/duration.js";
import type { Answer } from "@uait/gen/uait/orchestrator/v1/run.js";
import type { Layout } from "../layout.js";

/** An answer with its figures, a line each. */
export function answerLines(answer: Answer, mesh: Layout): string[] {
  const { text, score, nodes, usage, elapsed, modelTime, agent, model, traceId, degradations } = answer;
  const trace = `http://127.0.0.1:${mesh.port("jaeger", "query")}/trace/${traceId}`;
  return [
    `answer   ${text.trim().replaceAll("\n", "\n           ")}`,
    `score    ${score.toFixed(2)}, by ${agent} on ${model}`,
    `nodes    ${nodes}`,
    `tokens   ${usage?.inputTokens ?? 0n} read, ${usage?.outputTokens ?? 0n} written`,
    `time     ${seconds(elapsed)} s, of it ${seconds(modelTime)} s in the model`,
    ...degradations.map(({ dependency, effect }) => `without  ${dependency}: ${effect}`),
    `trace    ${trace}`,
  ];
}

function seconds(duration: Duration | undefined): string {
  return duration === undefined ? "?" : (Number(duration.seconds) + duration.nanos / 1e9).toFixed(2);
}
