"""An echo server on plain grpc.aio, with nothing of the kit: what the bench measures the kit against."""

import asyncio
import json
import os

import grpc.aio

from uait.echo.v1 import echo_pb2, echo_pb2_grpc


class Echo(echo_pb2_grpc.EchoServiceServicer):
    """Answers Echo alone."""

    async def Echo(  # noqa: N802, D102 - the contract names it
        self,
        request: echo_pb2.EchoRequest,
        context: "grpc.aio.ServicerContext[echo_pb2.EchoRequest, echo_pb2.EchoResponse]",
    ) -> echo_pb2.EchoResponse:
        return echo_pb2.EchoResponse(message=request.message, payload=request.payload)


async def main() -> None:
    """Serves until it is ended."""
    server = grpc.aio.server()
    echo_pb2_grpc.add_EchoServiceServicer_to_server(Echo(), server)
    port = server.add_insecure_port(f"127.0.0.1:{os.environ.get('UAIT_PORT', '0')}")
    await server.start()
    print(json.dumps({"msg": "serving", "grpc": f"127.0.0.1:{port}", "http": ""}), flush=True)
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(main())
