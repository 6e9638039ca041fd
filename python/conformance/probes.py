"""Procedures that a list of requests and responses cannot describe; the head of cases.yaml specifies each."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from conformance.cases import Case, unique_word
from conformance.failure import CaseFailed
from conformance.match import require
from uait.echo.v1 import echo_pb2
from uait.echo.v1.echo_pb2_grpc import EchoServiceStub

__all__ = ["PROBES", "Wire"]

_TIMEOUT_S = 30.0
_POLL_S = 0.01


@dataclass(frozen=True, slots=True)
class Wire:
    """What a probe works with.

    Attributes:
        target: Leads to what is called.
        server: Leads to the server itself.
        metadata: Request metadata of every call.
        pid: Process of the server, None when not told.
    """

    target: grpc.aio.Channel
    server: grpc.aio.Channel
    metadata: Mapping[str, str]
    pid: int | None

    @property
    def echo(self) -> EchoServiceStub:
        """The service under test."""
        return EchoServiceStub(self.target)

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """The metadata as gRPC takes it."""
        return tuple(self.metadata.items())


async def cancel(wire: Wire, case: Case) -> None:
    """A cancelled call's handler ends CANCELLED, soon."""
    lateness_ms = [await _cancel_once(wire) for _ in range(case["tries"])]
    median_ms = statistics.median(lateness_ms)
    require(median_ms <= case["within_ms"], "median ms from cancellation to its end", case["within_ms"], lateness_ms)


async def _cancel_once(wire: Wire) -> float:
    """Returns the time from the cancellation to the end of the handler, in ms."""
    call_id = f"cancel-{unique_word()}"
    behaviour = echo_pb2.Behaviour()
    behaviour.delay.FromSeconds(int(_TIMEOUT_S))
    request = echo_pb2.EchoRequest(message="never mind", call_id=call_id, behaviour=behaviour)
    pending = wire.echo.Echo(request, metadata=wire.pairs, timeout=_TIMEOUT_S)
    outcome = wire.echo.AwaitOutcome(
        echo_pb2.AwaitOutcomeRequest(call_id=call_id), metadata=wire.pairs, timeout=_TIMEOUT_S
    )
    # The handler has the call once a later call on the same connection has been answered.
    await wire.echo.Echo(echo_pb2.EchoRequest(message="x"), metadata=wire.pairs, timeout=_TIMEOUT_S)
    cancelled_at_s = time.time()
    pending.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await pending
    answer = await outcome
    require(answer.code == "CANCELLED", "outcome", "CANCELLED", answer.code)
    # Both clocks are this machine's.
    ended_at_s = answer.ended_at.ToDatetime(UTC).timestamp()
    return max(0.0, ended_at_s - cancelled_at_s) * 1000


async def streams(wire: Wire, case: Case) -> None:
    """Many bidirectional streams are open at once, and each is answered."""
    count: int = case["count"]
    calls = [wire.echo.Converse(metadata=wire.pairs, timeout=_TIMEOUT_S) for _ in range(count)]
    try:
        await asyncio.gather(*(_exchange(call, f"first {n}") for n, call in enumerate(calls)))
        await asyncio.gather(*(_exchange(call, f"second {n}") for n, call in enumerate(calls)))
        await asyncio.gather(*(_finish(call) for call in calls))
    finally:
        for call in calls:
            call.cancel()


async def _exchange(call: Any, message: str) -> None:
    await call.write(echo_pb2.ConverseRequest(message=message))
    answer = await call.read()
    came = answer.message if isinstance(answer, echo_pb2.ConverseResponse) else "the end of the stream"
    require(came == message, "answer", message, came)


async def _finish(call: Any) -> None:
    await call.done_writing()
    require(await call.read() is grpc.aio.EOF, "end of the stream", "no more messages", "a message")
    code = await call.code()
    require(code is grpc.StatusCode.OK, "code of the stream", "OK", code.name)


async def drain(wire: Wire, case: Case) -> None:
    """SIGTERM under load turns health at once, cuts off nothing, and the process goes."""
    if wire.pid is None:
        raise CaseFailed("the drain case needs --pid")
    delay_s = case["delay_ms"] / 1000
    count: int = case["calls"]
    unaries = [_slow_call(wire, delay_s) for _ in range(count)]
    expansions = [_slow_stream(wire, delay_s) for _ in range(count)]
    under_way = asyncio.gather(*unaries, *expansions)
    try:
        # Answered on the same connection after them, so that they have arrived.
        await wire.echo.Echo(echo_pb2.EchoRequest(message="x"), metadata=wire.pairs, timeout=_TIMEOUT_S)
        signalled_s = time.monotonic()
        os.kill(wire.pid, signal.SIGTERM)
        await _wait_not_serving(wire, case["within_ms"])
        await wire.echo.Echo(echo_pb2.EchoRequest(message="late"), metadata=wire.pairs, timeout=_TIMEOUT_S)
        await under_way
        await _wait_gone(wire.pid, signalled_s, case["gone_ms"])
    finally:
        under_way.cancel()


async def _slow_call(wire: Wire, delay_s: float) -> None:
    behaviour = echo_pb2.Behaviour()
    behaviour.delay.FromMilliseconds(int(delay_s * 1000))
    request = echo_pb2.EchoRequest(message="slow", behaviour=behaviour)
    answer = await wire.echo.Echo(request, metadata=wire.pairs, timeout=_TIMEOUT_S)
    require(answer.message == "slow", "answer of a call under way", "slow", answer.message)


async def _slow_stream(wire: Wire, delay_s: float) -> None:
    pieces = 10
    request = echo_pb2.ExpandRequest(message="slow", count=pieces + 1)
    request.interval.FromMilliseconds(int(delay_s * 1000) // pieces)
    indexes = [answer.index async for answer in wire.echo.Expand(request, metadata=wire.pairs, timeout=_TIMEOUT_S)]
    require(indexes == list(range(pieces + 1)), "indexes of a stream under way", f"0 to {pieces}", indexes)


async def _wait_not_serving(wire: Wire, within_ms: float) -> None:
    # Its published stubs lack the methods.
    health: Any = health_pb2_grpc.HealthStub(wire.server)
    ends_s = time.monotonic() + within_ms / 1000
    while True:
        answer = await health.Check(health_pb2.HealthCheckRequest(), timeout=_TIMEOUT_S)
        if answer.status == health_pb2.HealthCheckResponse.NOT_SERVING:
            return
        require(time.monotonic() < ends_s, f"health {within_ms} ms after SIGTERM", "NOT_SERVING", answer.status)
        await asyncio.sleep(_POLL_S)


async def _wait_gone(pid: int, since_s: float, within_ms: float) -> None:
    while _alive(pid):
        require(time.monotonic() < since_s + within_ms / 1000, f"process {within_ms} ms after SIGTERM", "gone", "there")
        await asyncio.sleep(_POLL_S)


def _alive(pid: int) -> bool:
    """Returns whether a process runs; one that has ended and waits for its parent (state Z) does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


PROBES: Mapping[str, Callable[[Wire, Case], Awaitable[None]]] = {"cancel": cancel, "streams": streams, "drain": drain}
