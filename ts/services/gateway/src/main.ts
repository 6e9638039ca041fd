import { run } from "@uait/kit/run";

await run(async () => {
  const { loadConfig } = await import("./config.js");
  const { startGateway } = await import("./index.js");
  return await startGateway(loadConfig(process.env));
});
