/** An echo server on plain nice-grpc, with nothing of the kit: what the bench measures the kit against. */
import { EchoServiceDefinition, type EchoServiceImplementation } from "@uait/gen/uait/echo/v1/echo.js";
import { createServer } from "nice-grpc";

const implementation: Pick<EchoServiceImplementation, "echo"> = {
  echo: async ({ message, payload }) => ({ message, payload }),
};

const { echo } = EchoServiceDefinition.methods;
const server = createServer();
server.add({ ...EchoServiceDefinition, methods: { echo } }, implementation);
const port = await server.listen(`127.0.0.1:${process.env["UAIT_PORT"] ?? "0"}`);
console.log(JSON.stringify({ msg: "serving", grpc: `127.0.0.1:${port}`, http: "" }));
