"""Sends spans to the collector, OTLP over gRPC, from the event loop.

A thread of its own, as SDKs have it, competes with the loop for the interpreter and costs more than the spans do.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import grpc
import grpc.aio
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1 import trace_pb2

from uait_kit._log import log
from uait_kit._trace import attribute

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from uait_kit._trace import Span

__all__ = ["Exporter"]

_INTERVAL_S = 0.5
_MAX_INTERVAL_S = 5.0
# A hundred spans encode in less than a millisecond, the longest that a call waits for it.
_BATCH = 128
_MAX_QUEUED = 8_192
_EXPORT_TIMEOUT_S = 5.0
_DEFAULT_PORT = {"http": 80, "https": 443}

_SAMPLED = 1
_LOCAL = _SAMPLED | trace_pb2.SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK
_REMOTE = _LOCAL | trace_pb2.SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK
_UNSET = trace_pb2.Status()
_ERROR = trace_pb2.Status(code=trace_pb2.Status.STATUS_CODE_ERROR)
_SCOPE = InstrumentationScope(name="uait_kit")


class Exporter:
    """Queues ended spans; `run` sends them twice a second, `flush` at once. The oldest go when the queue is full."""

    def __init__(self, endpoint: str, *, resource: Mapping[str, str]) -> None:
        """Opens the channel; it connects at the first export.

        Args:
            endpoint: URL of the collector; https for TLS with the system's authorities.
            resource: Attributes of the process.
        """
        url = urlsplit(endpoint)
        target = f"{url.hostname}:{url.port or _DEFAULT_PORT[url.scheme]}"
        if url.scheme == "https":
            self._channel = grpc.aio.secure_channel(target, grpc.ssl_channel_credentials())
        else:
            self._channel = grpc.aio.insecure_channel(target)
        self._collector = TraceServiceStub(self._channel)  # type: ignore[no-untyped-call]
        self._resource = Resource(attributes=[attribute(key, value) for key, value in resource.items()])
        self._queue: deque[Span] = deque(maxlen=_MAX_QUEUED)
        self._reachable = True

    def queue(self, span: Span) -> None:
        """Queues an ended span."""
        self._queue.append(span)

    async def run(self) -> None:
        """Sends what is queued until cancelled, less often while the collector is away."""
        interval_s = _INTERVAL_S
        while True:
            await asyncio.sleep(interval_s)
            interval_s = _INTERVAL_S if await self._send() else min(interval_s * 2, _MAX_INTERVAL_S)

    async def flush(self, *, timeout_s: float) -> None:
        """Sends what is queued and closes the channel; gives up after `timeout_s` seconds."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._send()
        except TimeoutError:
            self._tell(False, "timeout")
        await self._channel.close()

    async def _send(self) -> bool:
        """Sends until the queue is empty or the collector fails; returns whether it took all."""
        while self._queue:
            batch = [self._queue.popleft() for _ in range(min(_BATCH, len(self._queue)))]
            try:
                await self._collector.Export(self._encode(batch), timeout=_EXPORT_TIMEOUT_S)
            except grpc.aio.AioRpcError as error:
                room = _MAX_QUEUED - len(self._queue)
                # Back to the front as far as there is room: what is newer counts more.
                self._queue.extendleft(reversed(batch[-room:] if room else []))
                self._tell(False, error.code().name)
                return False
            self._tell(True, "")
        return True

    def _tell(self, reachable: bool, reason: str) -> None:
        """Logs that the collector went or came, once."""
        if reachable != self._reachable:
            self._reachable = reachable
            if reachable:
                log("info", "trace collector reached")
            else:
                log("warn", "trace collector not reached", reason=reason, queued=len(self._queue))

    def _encode(self, spans: Iterable[Span]) -> ExportTraceServiceRequest:
        scope_spans = trace_pb2.ScopeSpans(scope=_SCOPE, spans=[_encode(span) for span in spans])
        return ExportTraceServiceRequest(
            resource_spans=[trace_pb2.ResourceSpans(resource=self._resource, scope_spans=[scope_spans])]
        )


def _encode(span: Span) -> trace_pb2.Span:
    parent = span.parent
    return trace_pb2.Span(
        trace_id=bytes.fromhex(span.trace_id),
        span_id=bytes.fromhex(span.span_id),
        parent_span_id=b"" if parent is None else bytes.fromhex(parent.span_id),
        trace_state=span.state,
        flags=_REMOTE if parent is not None and parent.remote else _LOCAL,
        name=span.name,
        kind=span.kind,
        start_time_unix_nano=span.start_ns,
        end_time_unix_nano=span.end_ns,
        attributes=span.attributes,
        status=_ERROR if span.failed else _UNSET,
    )
