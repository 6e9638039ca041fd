"""What stands between grpc.aio and a handler: span and metrics, overload limit, identity, validation, error map.

Handlers are wrapped once, when a service is registered, instead of by interceptors: an interceptor costs its own
coroutine and a handler look-up on every call. A wrapped handler takes and gives bytes, so that identity is checked
before a message is parsed, and a message that is malformed or too large is answered with a reason.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, NoReturn

import grpc
import grpc.aio
from google.protobuf.message import DecodeError, Message
from opentelemetry import context as otel_context
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, set_span_in_context
from uait.error.v1 import error_pb2

from uait_kit._call import Call
from uait_kit._identity import Identity, read_identity
from uait_kit._log import log
from uait_kit._status import DETAILS_KEY, ErrorMap, StatusError, status_of
from uait_kit._telemetry import Telemetry, extract
from uait_kit._validate import validate

if TYPE_CHECKING:
    from uait_kit._load import LoadMeter

__all__ = ["Layers"]

_OVERLOAD_RETRY_S = 0.1

# The kit answers this long before the deadline, so that its answer, with a reason, is the one that arrives: at the
# deadline itself gRPC resets the stream.
_DEADLINE_LEAD_S = 0.002

# A caller's own timer starts before the request is sent, so its reset may arrive before the deadline as this process
# reckons it. A reset this close to the deadline (but at most in the last quarter of the time given) is the deadline's.
_DEADLINE_SLACK_S = 0.05
_DEADLINE_SLACK_SHARE = 0.25

# Codes that are the server's fault, by the OpenTelemetry conventions for gRPC server spans.
_SPAN_ERRORS = frozenset(
    {
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DATA_LOSS,
    }
)

_Context = grpc.aio.ServicerContext[Any, Any]


class Layers:
    """Wraps the handlers of one process."""

    def __init__(self, *, telemetry: Telemetry, meter: LoadMeter, max_message_bytes: int) -> None:
        """Makes the layers.

        Args:
            telemetry: Takes spans and durations.
            meter: Counts calls and holds the overload limit.
            max_message_bytes: Largest message, received or sent.
        """
        self.telemetry = telemetry
        self.meter = meter
        self.max_message_bytes = max_message_bytes

    def wrap(
        self,
        service: str,
        method: str,
        handler: grpc.RpcMethodHandler[Any, Any],
        *,
        errors: ErrorMap,
        tenantless: bool,
    ) -> grpc.RpcMethodHandler[Any, Any]:
        """Returns `handler` within the layers.

        Args:
            service: Full name of the gRPC service.
            method: Name of the method.
            handler: As generated code made it: coroutine functions, and async generators for streams of responses.
            errors: The service's own map of errors.
            tenantless: Whether calls need no tenant.
        """
        route = _Route(self, service, method, handler, errors=errors, tenantless=tenantless)
        if handler.request_streaming and handler.response_streaming:
            return grpc.stream_stream_rpc_method_handler(route.stream_stream)
        if handler.request_streaming:
            return grpc.stream_unary_rpc_method_handler(route.stream_unary)
        if handler.response_streaming:
            return grpc.unary_stream_rpc_method_handler(route.unary_stream)
        return grpc.unary_unary_rpc_method_handler(route.unary_unary)


class _Route:
    """One method within its layers. The four shapes differ only in how messages come and go."""

    def __init__(
        self,
        layers: Layers,
        service: str,
        method: str,
        handler: grpc.RpcMethodHandler[Any, Any],
        *,
        errors: ErrorMap,
        tenantless: bool,
    ) -> None:
        self._telemetry = layers.telemetry
        self._meter = layers.meter
        self._max_bytes = layers.max_message_bytes
        self._name = f"{service}/{method}"
        self._attributes = {"rpc.system": "grpc", "rpc.service": service, "rpc.method": method}
        self._handle: Callable[[Any, _Context], Any] = (
            handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream
        )
        self._parse: Callable[[bytes], Message] = handler.request_deserializer
        self._serialise: Callable[[Message], bytes] = handler.response_serializer
        self._errors = errors
        self._tenantless = tenantless
        self._durations = {
            code: layers.telemetry.server_duration.labels(service, method, str(code.value[0]))
            for code in grpc.StatusCode
        }

    async def unary_unary(self, raw: bytes, context: _Context) -> bytes:
        served = _Served(self, context)
        try:
            served.admit()
            response = self._outgoing(await self._handle(self._incoming(raw), context))
        except BaseException as error:
            await served.fail(error)
        served.succeed()
        return response

    async def stream_unary(self, raws: AsyncIterator[bytes], context: _Context) -> bytes:
        served = _Served(self, context)
        try:
            served.admit()
            response = self._outgoing(await self._handle(self._each(raws), context))
        except BaseException as error:
            await served.fail(error)
        served.succeed()
        return response

    async def unary_stream(self, raw: bytes, context: _Context) -> None:
        served = _Served(self, context)
        try:
            served.admit()
            await self._send_each(self._handle(self._incoming(raw), context), context)
        except BaseException as error:
            await served.fail(error)
        served.succeed()

    async def stream_stream(self, raws: AsyncIterator[bytes], context: _Context) -> None:
        served = _Served(self, context)
        try:
            served.admit()
            await self._send_each(self._handle(self._each(raws), context), context)
        except BaseException as error:
            await served.fail(error)
        served.succeed()

    async def _each(self, raws: AsyncIterator[bytes]) -> AsyncIterator[Message]:
        async for raw in raws:
            yield self._incoming(raw)

    async def _send_each(self, responses: Any, context: _Context) -> None:
        async with aclosing(responses):
            async for response in responses:
                await context.write(self._outgoing(response))

    def _incoming(self, raw: bytes) -> Message:
        self._bound(len(raw))
        try:
            message = self._parse(raw)
        except DecodeError as error:
            raise StatusError(error_pb2.REASON_FIELD_INVALID, "the request is not a valid message") from error
        validate(message)
        return message

    def _outgoing(self, message: Message) -> bytes:
        raw = self._serialise(message)
        self._bound(len(raw))
        return raw

    def _bound(self, size: int) -> None:
        if size > self._max_bytes:
            raise StatusError(
                error_pb2.REASON_MESSAGE_TOO_LARGE,
                f"a message of {size} bytes is larger than the limit of {self._max_bytes} bytes",
                metadata={"limit_bytes": str(self._max_bytes)},
            )


class _Served:
    """One call on its way through the layers: made when it arrives, ended by `succeed` or `fail`."""

    __slots__ = (
        "_call",
        "_context",
        "_deadline",
        "_overloaded",
        "_refusal",
        "_route",
        "_slack_s",
        "_started_s",
        "_timer",
    )

    def __init__(self, route: _Route, context: _Context) -> None:
        self._started_s = time.perf_counter()
        self._route = route
        self._context = context
        self._refusal: StatusError | None = None
        metadata = dict(context.invocation_metadata() or ())
        try:
            identity = read_identity(metadata, tenantless=route._tenantless)
        except StatusError as error:
            identity = Identity("")
            self._refusal = error
        span = self._start_span(metadata, identity)
        meter = route._meter
        meter.in_flight += 1
        self._overloaded = meter.in_flight > meter.limit

        left_s = context.time_remaining()
        self._deadline = False
        self._timer: asyncio.TimerHandle | None = None
        self._slack_s = 0.0
        if left_s is not None:
            self._slack_s = min(_DEADLINE_SLACK_S, left_s * _DEADLINE_SLACK_SHARE)
            task = asyncio.current_task()
            self._timer = asyncio.get_running_loop().call_later(max(0.0, left_s - _DEADLINE_LEAD_S), self._expire, task)
        self._call = Call(identity, span, time_left_s=left_s)
        self._call.enter()

    def _start_span(self, metadata: dict[str, str], identity: Identity) -> Span:
        attributes = dict(self._route._attributes)
        if identity.tenant:
            attributes["uait.tenant"] = identity.tenant
        parent = extract(metadata)
        span = self._route._telemetry.start_span(
            self._route._name, SpanKind.SERVER, parent=parent, attributes=attributes
        )
        # Never detached: the context belongs to the task of this call and ends with it.
        otel_context.attach(set_span_in_context(span, parent))
        return span

    def admit(self) -> None:
        """Lets the call in, or raises why not."""
        if self._overloaded:
            limit = self._route._meter.limit
            raise StatusError(
                error_pb2.REASON_OVERLOADED,
                f"more than {limit} calls are in flight",
                metadata={"limit": str(limit)},
                retry_after_s=_OVERLOAD_RETRY_S,
            )
        if self._refusal is not None:
            raise self._refusal

    def succeed(self) -> None:
        """Ends the call with OK."""
        context = self._context
        context.set_trailing_metadata((*context.trailing_metadata(), self._route._meter.trailer))
        self._end(context.code() or grpc.StatusCode.OK)

    async def fail(self, error: BaseException) -> NoReturn:
        """Ends the call with the answer to `error`; always raises."""
        answer = self._answer(error)
        if answer is None:
            raise error
        if answer.code is grpc.StatusCode.INTERNAL:
            log("error", "call failed", error=error, method=self._route._name)
        self._end(answer.code)
        context = self._context
        trailers = (*context.trailing_metadata(), self._route._meter.trailer, (DETAILS_KEY, answer.details()))
        await context.abort(answer.code, answer.message, trailers)

    def _answer(self, error: BaseException) -> StatusError | None:
        """Returns what to answer; None when nobody listens any more or the answer is sent, and the call is ended."""
        if isinstance(error, grpc.aio.AbortError):
            self._end(self._context.code())
            return None
        task = asyncio.current_task()
        if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
            if self._deadline:
                task.uncancel()
                return StatusError(
                    error_pb2.REASON_DEADLINE_EXCEEDED, "the deadline passed before the answer was ready"
                )
            self._end(self._abandoned())
            return None
        if isinstance(error, grpc.aio.InternalError):
            # Core refuses to send on a call that its caller has ended.
            self._end(self._abandoned())
            return None
        if isinstance(error, asyncio.CancelledError):
            # Not this call was cancelled but something that its handler waited for.
            return StatusError(error_pb2.REASON_INTERNAL, "internal error")
        if not isinstance(error, Exception):
            self._end(grpc.StatusCode.INTERNAL)
            return None
        return status_of(error, self._route._errors)

    def _expire(self, task: asyncio.Task[Any]) -> None:
        self._deadline = True
        task.cancel()

    def _abandoned(self) -> grpc.StatusCode:
        left_s = self._call.time_left_s
        if left_s is not None and left_s <= self._slack_s:
            return grpc.StatusCode.DEADLINE_EXCEEDED
        return grpc.StatusCode.CANCELLED

    def _end(self, code: grpc.StatusCode) -> None:
        if self._timer is not None:
            self._timer.cancel()
        route = self._route
        route._meter.in_flight -= 1
        route._meter.finished(code)
        route._durations[code].observe(time.perf_counter() - self._started_s)
        span = self._call.span
        if span.is_recording():
            span.set_attribute("rpc.grpc.status_code", code.value[0])
            if code in _SPAN_ERRORS:
                span.set_status(Status(StatusCode.ERROR))
        span.end()
        self._call.end(code)
