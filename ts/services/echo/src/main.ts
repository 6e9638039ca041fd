import { run } from "@uait/kit/run";

await run(async () => {
  const { loadConfig } = await import("./config.js");
  const { startEcho } = await import("./index.js");
  return await startEcho(loadConfig(process.env));
});
