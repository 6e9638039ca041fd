/** An echo server on plain nice-grpc, with nothing of the kit: what the bench measures the kit against. */
import { EchoServiceDefinition, type EchoServiceImplementation } from "@uait/gen/uait/echo/v1/echo.js";
import { createServer } from "nice-grpc";

/** As long as what the kit's echo answers, so that both encode the same bytes. */
const seen = () => ({
  service: "echo-ts",
  instance: "echo-ts-12345",
  tenant: "bench",
  traceId: "4bf92f3577b34da6a3ce929d0e0e4736",
  spanId: "00f067aa0ba902b7",
  timeLeft: { seconds: 19n, nanos: 999_000_000 },
});

const implementation: Pick<EchoServiceImplementation, "echo"> = {
  echo: async ({ message, payload }) => ({ message, payload, seen: seen() }),
};

const { echo } = EchoServiceDefinition.methods;
const server = createServer();
server.add({ ...EchoServiceDefinition, methods: { echo } }, implementation);
const port = await server.listen(`127.0.0.1:${process.env["UAIT_PORT"] ?? "0"}`);
console.log(JSON.stringify({ msg: "serving", grpc: `127.0.0.1:${port}`, http: "" }));
