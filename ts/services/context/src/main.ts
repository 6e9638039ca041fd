import { run } from "@uait/kit/run";

await run(async () => {
  const { loadConfig } = await import("./config.js");
  const { startContext } = await import("./index.js");
  return await startContext(loadConfig(process.env));
});
