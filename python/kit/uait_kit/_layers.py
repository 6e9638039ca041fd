"""What stands between grpc.aio and a handler: span and metrics, overload limit, identity, validation, error map.

Handlers are wrapped once, when a service is registered, instead of by interceptors: an interceptor costs its own
coroutine and a handler look-up on every call. A wrapped handler takes and gives bytes, so that identity is checked
before a message is parsed, and a message that is malformed or too large is answered with a reason.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
from google.protobuf.message import DecodeError, Message

from uait.error.v1 import error_pb2
from uait_kit._deadlines import Deadlines
from uait_kit._served import Method, Served
from uait_kit._status import ErrorMap, StatusError
from uait_kit._validate import validate

if TYPE_CHECKING:
    from uait_kit._load import LoadMeter
    from uait_kit._telemetry import Telemetry

__all__ = ["Layers"]

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
        self.deadlines = Deadlines()

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
        self._max_bytes = layers.max_message_bytes
        # The stubs describe synchronous handlers with optional parts; generated code always sets these.
        made: Any = handler
        self._handle: Callable[[Any, _Context], Any] = (
            made.unary_unary or made.unary_stream or made.stream_unary or made.stream_stream
        )
        self._parse: Callable[[bytes], Message] = made.request_deserializer
        self._serialise: Callable[[Message], bytes] = made.response_serializer
        self._method = Method(
            service,
            method,
            telemetry=layers.telemetry,
            meter=layers.meter,
            deadlines=layers.deadlines,
            errors=errors,
            tenantless=tenantless,
        )

    async def unary_unary(self, raw: bytes, context: _Context) -> bytes:
        served = Served(self._method, context)
        try:
            served.admit()
            response = self._outgoing(await self._handle(self._incoming(raw), context))
        except BaseException as error:
            await served.fail(error)
        served.succeed()
        return response

    async def stream_unary(self, raws: AsyncIterator[bytes], context: _Context) -> bytes:
        served = Served(self._method, context)
        try:
            served.admit()
            response = self._outgoing(await self._handle(self._each(raws), context))
        except BaseException as error:
            await served.fail(error)
        served.succeed()
        return response

    async def unary_stream(self, raw: bytes, context: _Context) -> None:
        served = Served(self._method, context)
        try:
            served.admit()
            await self._send_each(self._handle(self._incoming(raw), context), context)
        except BaseException as error:
            await served.fail(error)
        served.succeed()

    async def stream_stream(self, raws: AsyncIterator[bytes], context: _Context) -> None:
        served = Served(self._method, context)
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
