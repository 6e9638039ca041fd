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

from uait_kit._log import log
from uait_kit._otlp import encode_request, encode_span

if TYPE_CHECKING:
    from collections.abc import Mapping

    from uait_kit._trace import Span

__all__ = ["Exporter"]

_EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
_INTERVAL_S = 0.5
_MAX_INTERVAL_S = 5.0
_BATCH = 512
_MAX_QUEUED = 8_192
_EXPORT_TIMEOUT_S = 5.0
_DEFAULT_PORT = {"http": 80, "https": 443}


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
        # Without serialisers: bytes out, and what comes back is not read.
        self._export: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = self._channel.unary_unary(_EXPORT)
        self._resource = tuple(resource.items())
        self._queue: deque[bytes] = deque(maxlen=_MAX_QUEUED)
        self._reachable = True

    def queue(self, span: Span) -> None:
        """Queues an ended span."""
        self._queue.append(encode_span(span))

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
                await self._export(encode_request(batch, self._resource), timeout=_EXPORT_TIMEOUT_S)
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
