"""A small EchoService, and ways to run it within the kit."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio
from google.rpc import error_details_pb2, status_pb2

from uait.echo.v1 import echo_pb2
from uait.echo.v1.echo_pb2_grpc import EchoServiceServicer, EchoServiceStub, add_EchoServiceServicer_to_server
from uait.error.v1 import error_pb2
from uait_kit import Kit, KitConfig, Server, Service, Span, StatusError, current_call

TENANT = (("x-uait-tenant", "acme"),)


class Echo(EchoServiceServicer):
    """Echoes; each message is an order of how to behave."""

    def __init__(self, kit: Kit) -> None:
        self.kit = kit
        self.arrived = asyncio.Event()
        self.release = asyncio.Event()
        self.ended: asyncio.Queue[str] = asyncio.Queue()

    async def Echo(self, request: echo_pb2.EchoRequest, context: Any) -> echo_pb2.EchoResponse:
        call = current_call()
        call.on_end(lambda code: self.ended.put_nowait(code.name))
        self.arrived.set()
        match request.message:
            case "wait":
                await self.release.wait()
            case "crash":
                raise RuntimeError("password is hunter2")
            case "cancel something else":
                other = asyncio.get_running_loop().create_task(asyncio.sleep(60))
                other.cancel()
                await other
            case "quota":
                raise StatusError(error_pb2.REASON_QUOTA_EXCEEDED, "no room", metadata={"quota": "files"})
            case "abort":
                await context.abort(grpc.StatusCode.ABORTED, "by hand")
        seen = echo_pb2.Seen(tenant=call.identity.tenant, trace_id=call.trace_id, span_id=call.span_id)
        if call.time_left_s is not None:
            seen.time_left.FromNanoseconds(int(call.time_left_s * 1e9))
        return echo_pb2.EchoResponse(message=request.message, payload=request.payload * 2, seen=seen)

    async def Relay(self, request: echo_pb2.RelayRequest, context: Any) -> echo_pb2.RelayResponse:
        answer = await EchoServiceStub(self.kit.mesh).Echo(echo_pb2.EchoRequest(message=request.message))
        return echo_pb2.RelayResponse(message=answer.message, hops=[answer.seen])

    async def Expand(self, request: echo_pb2.ExpandRequest, context: Any) -> AsyncIterator[echo_pb2.ExpandResponse]:
        for index in range(request.count):
            yield echo_pb2.ExpandResponse(message=request.message, index=index)
            await self.release.wait()

    async def Collect(
        self, request_iterator: AsyncIterator[echo_pb2.CollectRequest], context: Any
    ) -> echo_pb2.CollectResponse:
        return echo_pb2.CollectResponse(count=len([request async for request in request_iterator]))

    async def Converse(
        self, request_iterator: AsyncIterator[echo_pb2.ConverseRequest], context: Any
    ) -> AsyncIterator[echo_pb2.ConverseResponse]:
        async for request in request_iterator:
            yield echo_pb2.ConverseResponse(message=request.message)

    async def Publish(self, request: Any, context: Any) -> Any:
        raise NotImplementedError

    async def AwaitEvent(self, request: Any, context: Any) -> Any:
        raise NotImplementedError

    async def AwaitOutcome(self, request: Any, context: Any) -> Any:
        raise NotImplementedError


@asynccontextmanager
async def serving(
    config: KitConfig, *, spans: Callable[[Span], None] | None = None, tenantless: bool = False
) -> AsyncIterator[tuple[Server, Echo]]:
    """Runs the service until the block ends, then drains it."""
    kit = Kit(config, spans=spans)
    echo = Echo(kit)
    server = await kit.serve([Service(add_EchoServiceServicer_to_server, echo, tenantless=tenantless)])
    try:
        yield server, echo
    finally:
        echo.release.set()
        await server.drain()


@asynccontextmanager
async def calling(server: Server) -> AsyncIterator[EchoServiceStub]:
    """Opens a channel to a server, without limits of its own."""
    options = (("grpc.max_receive_message_length", -1), ("grpc.use_local_subchannel_pool", 1))
    async with grpc.aio.insecure_channel(server.address, options=options) as channel:
        yield EchoServiceStub(channel)


async def failure(call: Any) -> tuple[str, str, error_details_pb2.ErrorInfo]:
    """Returns code, message and ErrorInfo of a call that must fail."""
    try:
        answer = await call
    except grpc.aio.AioRpcError as error:
        info = error_details_pb2.ErrorInfo()
        for key, value in error.trailing_metadata() or ():
            if key == "grpc-status-details-bin":
                status_pb2.Status.FromString(value if isinstance(value, bytes) else b"").details[0].Unpack(info)
        return error.code().name, error.details() or "", info
    raise AssertionError(f"expected a failure, came {answer}")
