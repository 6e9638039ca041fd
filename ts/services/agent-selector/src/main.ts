import { run } from "@uait/kit/run";

await run(async () => {
  const { loadConfig } = await import("./config.js");
  const { startAgentSelector } = await import("./index.js");
  return await startAgentSelector(loadConfig(process.env));
});
