import { run } from "@uait/kit/run";

await run(async () => {
  const { loadConfig } = await import("./config.js");
  const { startRouter } = await import("./index.js");
  return await startRouter(loadConfig(process.env));
});
