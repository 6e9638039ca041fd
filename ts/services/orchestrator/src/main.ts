import { run } from "@uait/kit/run";

await run(async () => {
  const { loadConfig } = await import("./config.js");
  const { startOrchestrator } = await import("./index.js");
  return await startOrchestrator(loadConfig(process.env));
});
