"""An echo server on plain grpc.aio, with nothing of the kit: what the bench measures the kit against."""

import asyncio
import json
import os

import grpc.aio
from google.protobuf import duration_pb2

from uait.echo.v1 import echo_pb2


async def echo(request: echo_pb2.EchoRequest, _context: object) -> echo_pb2.EchoResponse:
    """Answers as long as the kit's echo does, so that both encode the same bytes."""
    seen = echo_pb2.Seen(
        service="echo-python",
        instance="echo-python-12345",
        tenant="bench",
        trace_id="4bf92f3577b34da6a3ce929d0e0e4736",
        span_id="00f067aa0ba902b7",
        time_left=duration_pb2.Duration(seconds=19, nanos=999_000_000),
    )
    return echo_pb2.EchoResponse(message=request.message, payload=request.payload, seen=seen)


async def main() -> None:
    """Serves until it is ended."""
    server = grpc.aio.server()
    handler = grpc.unary_unary_rpc_method_handler(
        echo,
        request_deserializer=echo_pb2.EchoRequest.FromString,
        response_serializer=echo_pb2.EchoResponse.SerializeToString,
    )
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("uait.echo.v1.EchoService", {"Echo": handler}),)
    )
    port = server.add_insecure_port(f"127.0.0.1:{os.environ.get('UAIT_PORT', '0')}")
    await server.start()
    print(json.dumps({"msg": "serving", "grpc": f"127.0.0.1:{port}", "http": ""}), flush=True)
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(main())
