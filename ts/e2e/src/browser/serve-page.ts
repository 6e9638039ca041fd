import { createServer } from "node:http";
import { build } from "esbuild";
import { inRepository } from "../harness/repository.js";

const DOCUMENT = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>gRPC-web through Envoy</title>
<style>body { font: 16px/1.5 system-ui; max-width: 40em; margin: 2em auto }</style>
<h1>A server stream over gRPC-web</h1>
<ol></ol>
<p>Stream: <output>under way</output></p>
<script type="module" src="/page.js"></script>
</html>`;

/** Bundles a page of this folder and serves it on a free loopback port until closed. */
export async function servePage(
  page: "echo-page" | "run-page",
): Promise<{ readonly origin: string; close(): Promise<void> }> {
  const { outputFiles } = await build({
    entryPoints: [inRepository("ts", "e2e", "src", "browser", `${page}.ts`)],
    bundle: true,
    write: false,
    format: "esm",
    platform: "browser",
    conditions: ["uait-source"],
    target: "es2022",
  });
  const script = outputFiles[0]?.text ?? "";
  const server = createServer((request, response) => {
    const isScript = request.url === "/page.js";
    response.setHeader("content-type", isScript ? "text/javascript" : "text/html; charset=utf-8");
    response.end(isScript ? script : DOCUMENT);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no TCP address");
  return {
    origin: `http://127.0.0.1:${address.port}`,
    close: () => new Promise((resolve) => server.close(() => resolve())),
  };
}
