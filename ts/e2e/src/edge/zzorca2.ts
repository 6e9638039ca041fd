import { Envoy } from "./envoy.js";
import { echoAt } from "../harness/echo.js";
const e = await Envoy.start({ backends: [{ name: "echo-ts", area: "echo", grpc: ["uait.echo.v1.EchoService"], healthService: "", addresses: [{host:"127.0.0.1",port:7001}, {host:"127.0.0.1",port:7003}] }] });
const { client, close } = echoAt(e.address("mesh"));
for (let r = 0; r < 10; r++) {
  const n: Record<string, number> = {};
  const lat: number[] = [];
  const end = Date.now() + 1500; 
  while (Date.now() < end) { await Promise.all(Array.from({length: 8}, async () => { const t=performance.now(); const x = await client.echo({ message: "x" }); lat.push(performance.now()-t); n[x.seen!.instance] = (n[x.seen!.instance] ?? 0) + 1; })); await new Promise(r => setTimeout(r, 10)); }
  lat.sort((a,b)=>a-b);
  console.log(r, JSON.stringify(n), "p50", lat[lat.length>>1]!.toFixed(1), "p99", lat[Math.floor(lat.length*.99)]!.toFixed(1));
}
close(); await e.stop(); process.exit(0);
