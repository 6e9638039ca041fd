import { Envoy } from "./envoy.js";
import { Recorder } from "./recorder.js";
import { echoAt } from "../harness/echo.js";
const a = await Recorder.start(), b = await Recorder.start();
const util = (u: string) => (c: any) => { c.trailer.set("endpoint-load-metrics", `TEXT cpu_utilization=${u}, mem_utilization=0.1, application_utilization=${u}, rps_fractional=100.00, eps=0.00`); };
a.behave = util("0.9000"); b.behave = util("0.1000");
const e = await Envoy.start({ backends: [{ name: "echo-ts", area: "echo", grpc: ["uait.echo.v1.EchoService"], healthService: "", addresses: [a.address, b.address] }] });
const { client, close } = echoAt(e.address("mesh"));
for (let r = 0; r < 8; r++) {
  const t0 = [a.calls.length, b.calls.length];
  const end = Date.now() + 2000; 
  while (Date.now() < end) { await Promise.all(Array.from({length: 10}, () => client.echo({ message: "x" }))); await new Promise(r => setTimeout(r, 20)); }
  console.log(r, a.calls.length - t0[0]!, b.calls.length - t0[1]!);
}
console.log((await e.adminPage("/clusters")).split("\n").filter((l) => /static.*(weight|rq_total|health)/.test(l)).join("\n"));
close(); await e.stop(); await a.stop(); await b.stop(); process.exit(0);
