"""One call on its way through the layers: what is made when it arrives, and the two ways in which it ends."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, NoReturn

import grpc
import grpc.aio

from uait.error.v1 import error_pb2
from uait_kit._call import Call
from uait_kit._deadlines import Deadlines
from uait_kit._identity import Identity, read_identity
from uait_kit._log import log
from uait_kit._methods import request_metadata
from uait_kit._otlp import attribute
from uait_kit._status import DETAILS_KEY, ErrorMap, StatusError, status_of
from uait_kit._telemetry import Telemetry
from uait_kit._trace import Span, SpanKind, read_context

if TYPE_CHECKING:
    from uait_kit._durations import Durations
    from uait_kit._load import LoadMeter

__all__ = ["Method", "Served"]

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

# An enum of protobuf looks its members up by name.
_SERVER = SpanKind.SPAN_KIND_SERVER

_Context = grpc.aio.ServicerContext[Any, Any]


class Method:
    """What is the same for every call of one method."""

    def __init__(
        self,
        service: str,
        name: str,
        *,
        telemetry: Telemetry,
        meter: LoadMeter,
        deadlines: Deadlines,
        errors: ErrorMap,
        tenantless: bool,
    ) -> None:
        """Prepares the method.

        Args:
            service: Full name of the gRPC service.
            name: Name of the method.
            telemetry: Takes spans and durations.
            meter: Counts calls and holds the overload limit.
            deadlines: Tells calls that their time is over.
            errors: The service's own map of errors.
            tenantless: Whether calls need no tenant.
        """
        self.full_name = f"{service}/{name}"
        self.meter = meter
        self.deadlines = deadlines
        self.errors = errors
        self.tenantless = tenantless
        self._service = service
        self._name = name
        self._telemetry = telemetry
        self._attributes = [
            attribute("rpc.system", "grpc"),
            attribute("rpc.service", service),
            attribute("rpc.method", name),
        ]
        self._durations: dict[grpc.StatusCode, Durations] = {}
        self._ok = telemetry.call_durations.of(service, name, grpc.StatusCode.OK)

    def start_span(self, metadata: dict[str, str], identity: Identity) -> Span:
        """Starts the span of a call."""
        attributes = self._attributes.copy()
        if identity.tenant:
            attributes.append(attribute("uait.tenant", identity.tenant))
        return self._telemetry.start_span(self.full_name, _SERVER, parent=read_context(metadata), attributes=attributes)

    def observe(self, code: grpc.StatusCode, duration_s: float) -> None:
        """Counts a call that ended."""
        self.meter.finished(code)
        if code is grpc.StatusCode.OK:
            self._ok.observe(duration_s)
            return
        durations = self._durations.get(code)
        if durations is None:
            durations = self._telemetry.call_durations.of(self._service, self._name, code)
            self._durations[code] = durations
        durations.observe(duration_s)


class Served:
    """One call: made when it arrives, ended by `succeed` or `fail`."""

    __slots__ = (
        "_call",
        "_context",
        "_deadline",
        "_method",
        "_overloaded",
        "_refusal",
        "_slack_s",
        "_started_s",
        "_task",
        "expires_s",
        "timer",
    )

    def __init__(self, method: Method, context: _Context) -> None:
        self._started_s = time.perf_counter()
        self._method = method
        self._context = context
        self._refusal: StatusError | None = None
        # Keys of text only: those that end in -bin carry bytes and mean nothing to the kit.
        metadata = {key: value for key, value in request_metadata() if isinstance(value, str)}
        try:
            identity = read_identity(metadata, tenantless=method.tenantless)
        except StatusError as error:
            identity = Identity("")
            self._refusal = error
        span = method.start_span(metadata, identity)
        meter = method.meter
        meter.in_flight += 1
        self._overloaded = meter.in_flight > meter.limit

        left_s = context.time_remaining()
        self._deadline = False
        self._slack_s = 0.0
        self.timer: asyncio.TimerHandle | None = None
        if left_s is not None:
            self._slack_s = min(_DEADLINE_SLACK_S, left_s * _DEADLINE_SLACK_SHARE)
            loop = asyncio.get_running_loop()
            self._task = asyncio.current_task(loop)
            self.expires_s = loop.time() + max(0.0, left_s - _DEADLINE_LEAD_S)
            method.deadlines.add(self, loop)
        self._call = Call(identity, span, time_left_s=left_s)
        self._call.enter()

    def admit(self) -> None:
        """Lets the call in, or raises why not."""
        if self._overloaded:
            limit = self._method.meter.limit
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
        context.set_trailing_metadata((*context.trailing_metadata(), self._method.meter.trailer))
        code: grpc.StatusCode | None = context.code()
        self._end(code if code is not None else grpc.StatusCode.OK)

    async def fail(self, error: BaseException) -> NoReturn:
        """Ends the call with the answer to `error`; always raises."""
        answer = self._answer(error)
        if answer is None:
            raise error
        if answer.code is grpc.StatusCode.INTERNAL:
            log("error", "call failed", error=error, method=self._method.full_name)
        self._end(answer.code)
        context = self._context
        trailers = (*context.trailing_metadata(), self._method.meter.trailer, (DETAILS_KEY, answer.details()))
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
        return status_of(error, self._method.errors)

    def expire(self) -> None:
        """Ends the call at its deadline; for Deadlines."""
        self._deadline = True
        if self._task is not None:
            self._task.cancel()

    def _abandoned(self) -> grpc.StatusCode:
        left_s = self._call.time_left_s
        if left_s is not None and left_s <= self._slack_s:
            return grpc.StatusCode.DEADLINE_EXCEEDED
        return grpc.StatusCode.CANCELLED

    def _end(self, code: grpc.StatusCode) -> None:
        self._method.deadlines.remove(self)
        self._method.meter.in_flight -= 1
        self._method.observe(code, time.perf_counter() - self._started_s)
        span = self._call.span
        span.set("rpc.grpc.status_code", code.value[0])
        span.end(failed=code is not grpc.StatusCode.OK and code in _SPAN_ERRORS)
        self._call.end(code)
