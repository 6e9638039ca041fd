"""The client against a server that does everything wrong: it must say so, case by case."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from conformance.cases import Case, load_cases
from conformance.failure import CaseFailed
from conformance.session import Session
from uait.echo.v1 import echo_pb2
from uait.echo.v1.echo_pb2_grpc import EchoServiceServicer, add_EchoServiceServicer_to_server

_CASES = Path(__file__).parents[3] / "proto/uait/echo/v1/cases.yaml"


class Wrong(EchoServiceServicer):
    """Answers OK with nothing in it, whatever is asked."""

    async def Echo(self, request: Any, context: Any) -> echo_pb2.EchoResponse:
        return echo_pb2.EchoResponse()

    async def Collect(self, request_iterator: AsyncIterator[Any], context: Any) -> echo_pb2.CollectResponse:
        return echo_pb2.CollectResponse()

    async def Expand(self, request: Any, context: Any) -> AsyncIterator[echo_pb2.ExpandResponse]:
        yield echo_pb2.ExpandResponse()

    async def Converse(
        self, request_iterator: AsyncIterator[Any], context: Any
    ) -> AsyncIterator[echo_pb2.ConverseResponse]:
        yield echo_pb2.ConverseResponse()

    async def Relay(self, request: Any, context: Any) -> echo_pb2.RelayResponse:
        return echo_pb2.RelayResponse()

    async def Publish(self, request: Any, context: Any) -> echo_pb2.PublishResponse:
        return echo_pb2.PublishResponse()

    async def AwaitEvent(self, request: Any, context: Any) -> echo_pb2.AwaitEventResponse:
        return echo_pb2.AwaitEventResponse()

    async def AwaitOutcome(self, request: Any, context: Any) -> echo_pb2.AwaitOutcomeResponse:
        return echo_pb2.AwaitOutcomeResponse()


class AlwaysServing(health_pb2_grpc.HealthServicer):
    """Never tells that it drains."""

    async def Check(self, request: Any, context: Any) -> health_pb2.HealthCheckResponse:
        return health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVING)


@pytest.fixture
async def wrong() -> AsyncIterator[str]:
    # Even the limit of messages is wrong.
    server = grpc.aio.server(options=(("grpc.max_receive_message_length", -1),))
    add_EchoServiceServicer_to_server(Wrong(), server)
    health_pb2_grpc.add_HealthServicer_to_server(AlwaysServing(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield f"127.0.0.1:{port}"
    await server.stop(None)


@pytest.mark.parametrize("case", load_cases(_CASES), ids=lambda case: case["name"])
async def test_case_against_a_wrong_server_fails(wrong: str, case: Case) -> None:
    sleeper = await asyncio.create_subprocess_exec("sleep", "60")
    try:
        async with Session(target=wrong, server=wrong, pid=sleeper.pid, service="echo-python", tls=None) as session:
            with pytest.raises((CaseFailed, ValueError)):
                await session.run(case)
    finally:
        if sleeper.returncode is None:
            sleeper.kill()
        await sleeper.wait()


@pytest.mark.parametrize("case", load_cases(_CASES), ids=lambda case: case["name"])
async def test_case_without_a_server_fails_and_does_not_end_the_run(case: Case) -> None:
    """grpc.aio raises CancelledError out of a client stream whose half-close fails."""
    async with Session(target="127.0.0.1:1", server="127.0.0.1:1", pid=None, service=None, tls=None) as session:
        with pytest.raises((CaseFailed, ValueError, grpc.aio.AioRpcError)):
            await session.run(case)
