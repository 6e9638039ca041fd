"""EchoService: convert, call, fill. The only file here that knows the contract's messages."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from services.echo.error import EchoError, EchoErrorKind
from services.echo.recent import Recent
from uait.echo.v1 import echo_pb2
from uait.echo.v1.echo_pb2_grpc import EchoServiceServicer, EchoServiceStub
from uait.event.v1 import event_pb2
from uait_kit import current_call

if TYPE_CHECKING:
    import grpc
    import grpc.aio

    from uait_kit import Kit

__all__ = ["AREA", "EchoHandler"]

AREA = "echo"


@dataclass(frozen=True, slots=True)
class _Outcome:
    code: str
    ended_at: datetime


@dataclass(frozen=True, slots=True)
class _Handled:
    message: str
    trace_id: str
    times: int
    source: str


class EchoHandler(EchoServiceServicer):
    """Says back what it was told, and tells what the kit saw of the call."""

    def __init__(self, kit: Kit, *, remembered: int) -> None:
        """Makes the handler.

        Args:
            kit: Names, mesh channel and event log.
            remembered: How many ended calls and handled events can be asked about.
        """
        self._service = kit.config.service
        self._instance = kit.config.instance
        self._events = kit.events
        self._peers = EchoServiceStub(kit.mesh)
        self._outcomes: Recent[tuple[str, str], _Outcome] = Recent(limit=remembered)
        self._handled: Recent[tuple[str, str], _Handled] = Recent(limit=remembered)

    async def Echo(self, request: echo_pb2.EchoRequest, context: Any) -> echo_pb2.EchoResponse:
        """Returns the message together with what the server saw of the call."""
        seen = self._seen()
        self._keep_outcome(request.call_id)
        if request.HasField("behaviour"):
            await _misbehave(request.behaviour, context)
        return echo_pb2.EchoResponse(message=request.message, payload=request.payload, seen=seen)

    async def Collect(
        self, request_iterator: AsyncIterator[echo_pb2.CollectRequest], context: Any
    ) -> echo_pb2.CollectResponse:
        """Returns all messages joined."""
        seen = self._seen()
        messages = [request.message async for request in request_iterator]
        return echo_pb2.CollectResponse(message=" ".join(messages), count=len(messages), seen=seen)

    async def Expand(self, request: echo_pb2.ExpandRequest, context: Any) -> AsyncIterator[echo_pb2.ExpandResponse]:
        """Returns the message `count` times."""
        self._keep_outcome(request.call_id)
        interval_s = _seconds(request.interval)
        yield echo_pb2.ExpandResponse(message=request.message, seen=self._seen())
        for index in range(1, request.count):
            if interval_s:
                await asyncio.sleep(interval_s)
            yield echo_pb2.ExpandResponse(message=request.message, index=index)

    async def Converse(
        self, request_iterator: AsyncIterator[echo_pb2.ConverseRequest], context: Any
    ) -> AsyncIterator[echo_pb2.ConverseResponse]:
        """Answers each message as it arrives."""
        seen: echo_pb2.Seen | None = self._seen()
        index = 0
        async for request in request_iterator:
            yield echo_pb2.ConverseResponse(message=request.message, index=index, seen=seen)
            seen = None
            index += 1

    async def Relay(self, request: echo_pb2.RelayRequest, context: Any) -> echo_pb2.RelayResponse:
        """Passes the message along the route, through the mesh."""
        seen = self._seen()
        if not request.route:
            return echo_pb2.RelayResponse(message=request.message, hops=[seen])
        following = await self._peers.Relay(
            echo_pb2.RelayRequest(message=request.message, route=request.route[1:]),
            metadata=(("x-uait-service", request.route[0]),),
        )
        return echo_pb2.RelayResponse(message=following.message, hops=[seen, *following.hops])

    async def Publish(self, request: echo_pb2.PublishRequest, context: Any) -> echo_pb2.PublishResponse:
        """Publishes the message; answers when it is on disk."""
        event = event_pb2.Event(echoed=event_pb2.Echoed(message=request.message))
        published = await self._events.publish(AREA, event, request_id=request.request_id)
        return echo_pb2.PublishResponse(
            event_id=published.event_id, sequence=published.sequence, duplicate=published.duplicate
        )

    async def AwaitEvent(self, request: echo_pb2.AwaitEventRequest, context: Any) -> echo_pb2.AwaitEventResponse:
        """Waits until `on_event` has handled the event."""
        handled = await self._handled.wait((current_call().identity.tenant, request.event_id))
        return echo_pb2.AwaitEventResponse(
            message=handled.message, trace_id=handled.trace_id, handled=handled.times, source=handled.source
        )

    async def AwaitOutcome(self, request: echo_pb2.AwaitOutcomeRequest, context: Any) -> echo_pb2.AwaitOutcomeResponse:
        """Waits until the call has ended."""
        outcome = await self._outcomes.wait((current_call().identity.tenant, request.call_id))
        ended_at = Timestamp()
        ended_at.FromDatetime(outcome.ended_at)
        return echo_pb2.AwaitOutcomeResponse(code=outcome.code, ended_at=ended_at)

    async def on_event(self, event: event_pb2.Event) -> None:
        """Handles an event of the area: remembers it for AwaitEvent."""
        key = (event.tenant, event.id)
        before = self._handled.get(key)
        self._handled.put(
            key,
            _Handled(
                message=event.echoed.message,
                trace_id=current_call().trace_id,
                times=1 if before is None else before.times + 1,
                source=event.source,
            ),
        )

    def _keep_outcome(self, call_id: str) -> None:
        if not call_id:
            return
        call = current_call()
        key = (call.identity.tenant, call_id)

        def ended(code: grpc.StatusCode) -> None:
            self._outcomes.put(key, _Outcome(code.name, datetime.now(UTC)))

        call.on_end(ended)

    def _seen(self) -> echo_pb2.Seen:
        call = current_call()
        seen = echo_pb2.Seen(
            service=self._service,
            instance=self._instance,
            tenant=call.identity.tenant,
            subject=call.identity.subject,
            scopes=call.identity.scopes,
            trace_id=call.trace_id,
            span_id=call.span_id,
        )
        left_s = call.time_left_s
        if left_s is not None:
            seen.time_left.FromNanoseconds(int(left_s * 1e9))
        return seen


async def _misbehave(behaviour: echo_pb2.Behaviour, context: grpc.aio.ServicerContext[Any, Any]) -> None:
    context.set_trailing_metadata(tuple(behaviour.trailers.items()))
    await asyncio.sleep(_seconds(behaviour.delay))
    match behaviour.WhichOneof("failure"):
        case "missing":
            raise EchoError(EchoErrorKind.MISSING, behaviour.missing)
        case "crash":
            raise RuntimeError(behaviour.crash)


def _seconds(duration: Duration) -> float:
    return duration.seconds + duration.nanos / 1e9
