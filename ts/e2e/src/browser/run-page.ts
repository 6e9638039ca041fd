/**
 * Runs in the browser: asks the orchestrator over gRPC-web and shows each event of the Run as it arrives.
 *
 * The address of the edge, the key and the task come from the page's query string.
 */
import { OrchestratorServiceDefinition } from "@uait/gen/uait/orchestrator/v1/orchestrator.js";
import { createChannel, createClient, FetchTransport, Metadata } from "nice-grpc-web";
import { need, show } from "./document.js";

await show(async (line) => {
  const client = createClient(OrchestratorServiceDefinition, createChannel(need("edge"), FetchTransport()));
  const metadata = Metadata({ authorization: `Bearer ${need("key")}` });
  const request = {
    requestId: crypto.randomUUID(),
    task: need("task"),
    sampling: { maxOutputTokens: 32 },
    budget: { maxNodes: 2 },
  };
  for await (const { event } of client.run(request, { metadata })) {
    if (event?.$case === "score") line(`score ${event.value.score.toFixed(2)}: ${event.value.text}`);
    else if (event?.$case === "answer") line(`answer: ${event.value.text}`);
    else line(event?.$case ?? "nothing");
  }
});
