from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace

import grpc
import grpc.aio
import pytest

from uait.echo.v1 import echo_pb2
from uait.echo.v1.echo_pb2_grpc import EchoServiceStub
from uait_kit import Telemetry, dial
from uait_kit._dial import _EndedByCore
from uait_kit.testing import settings

from .echo_servicer import TENANT, serving


async def test_streams_of_requests_are_sent_from_either_kind_of_iterator() -> None:
    async def each() -> AsyncIterator[echo_pb2.CollectRequest]:
        for _ in range(3):
            yield echo_pb2.CollectRequest(message="x")

    async with serving(settings()) as (server, _):
        config = settings(UAIT_MESH=server.address)
        async with dial(config, Telemetry(config)) as channel:
            stub = EchoServiceStub(channel)
            assert (await stub.Collect(each(), metadata=TENANT)).count == 3
            assert (await stub.Collect(iter([]), metadata=TENANT)).count == 0
            requests = [echo_pb2.ConverseRequest(message=text) for text in "ab"]
            answers = stub.Converse(iter(requests), metadata=TENANT)
            assert [answer.message async for answer in answers] == ["a", "b"]


@pytest.mark.parametrize("count", [0, 1, 100])
async def test_stream_of_requests_that_is_refused_early_ends_with_the_answer(count: int) -> None:
    """grpc.aio, given the iterator, sometimes cancels the call and loses the answer."""
    async with serving(settings()) as (server, _):
        config = settings(UAIT_MESH=server.address)
        async with dial(config, Telemetry(config)) as channel:
            for _ in range(20):
                requests = [echo_pb2.CollectRequest(message="x")] * count
                with pytest.raises(grpc.aio.AioRpcError) as refused:
                    await EchoServiceStub(channel).Collect(iter(requests), metadata=(("x-uait-tenant", "../etc"),))
                assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_write_that_fails_leaves_the_servers_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """grpc.aio calls the end INTERNAL when a write has passed its check that the call goes on, and fails then."""
    async with serving(settings()) as (server, _):
        config = settings(UAIT_MESH=server.address)
        async with dial(config, Telemetry(config)) as channel:
            call = EchoServiceStub(channel).Collect(metadata=(("x-uait-tenant", "../etc"),))
            assert await call.code() is grpc.StatusCode.UNAUTHENTICATED
            monkeypatch.setattr(call, "done", lambda: False)
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await call.write(echo_pb2.CollectRequest(message="x"))
            assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
            assert await call.code() is grpc.StatusCode.UNAUTHENTICATED


def test_write_that_core_does_not_take_ends_the_call() -> None:
    """Core says no more of such a call, and whoever waits for its answer would wait for ever."""
    set_on_the_call: list[str] = []
    call = _EndedByCore(SimpleNamespace(set_internal_error=set_on_the_call.append))
    call.set_internal_error('Failed "execute_batch": (SendMessageOperation,)')
    assert set_on_the_call == []
    call.set_internal_error("Failed grpc_call_start_batch: 8")
    assert set_on_the_call == ["Failed grpc_call_start_batch: 8"]


async def test_stream_of_requests_to_nobody_is_unavailable() -> None:
    config = settings(UAIT_MESH="127.0.0.1:1")
    async with dial(config, Telemetry(config)) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await EchoServiceStub(channel).Collect(iter([]), metadata=TENANT)
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_stream_of_requests_that_raises_cancels_the_call() -> None:
    async def broken() -> AsyncIterator[echo_pb2.CollectRequest]:
        yield echo_pb2.CollectRequest(message="x")
        raise RuntimeError("no more")

    async with serving(settings()) as (server, _):
        config = settings(UAIT_MESH=server.address)
        async with dial(config, Telemetry(config)) as channel:
            with pytest.raises(asyncio.CancelledError):
                await EchoServiceStub(channel).Collect(broken(), metadata=TENANT)
