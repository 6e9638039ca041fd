"""The event log on NATS JetStream: facts are published once and handled once by each service.

Streams are `UAIT_<AREA>` with the subjects `uait.<area>.<tenant>.<event>`; the payload is `uait.event.v1.Event`.
NATS may be away at any time: `publish` keeps trying until its caller's deadline, consumers go on when it is back.
"""

from __future__ import annotations

import asyncio
import os
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from google.protobuf.timestamp_pb2 import Timestamp

from uait.error.v1 import error_pb2
from uait.event.v1 import event_pb2
from uait_kit._call import current_call
from uait_kit._log import log
from uait_kit._nats import Client, RetentionPolicy, StorageType, StreamConfig, apart, nats, take_result
from uait_kit._otlp import attribute, new_attribute
from uait_kit._status import StatusError
from uait_kit._trace import SpanKind

if TYPE_CHECKING:
    from nats.js import JetStreamContext
    from nats.js.api import PubAck

    from uait_kit._config import KitConfig
    from uait_kit._telemetry import Telemetry

__all__ = ["EventLog", "Published", "stream_of", "subject_template"]

_RECONNECT_WAIT_S = 0.25
_CONNECT_S = 5.0
_PING_INTERVAL_S = 5.0
_PING_TIMEOUT_S = 10
_CLOSE_S = 1.0
_ACK_TIMEOUT_S = 1.0
_ATTEMPT_S = 2.0
"""Nats-py bounds the wait for an answer, not the sending, which can hang when the connection dies under it."""
_RETRY_S = 0.1
_DUPLICATE_WINDOW_S = 600.0
_MAX_AGE_S = 30 * 24 * 3600.0
_STREAM_EXISTS = 10058

_REQUEST = uuid.UUID("6f1a3f0e-6a0c-5d39-9b60-3d4f8a6b7c21")
"""Namespace of the event ids that follow from a request_id (RFC 9562, version 5)."""


@dataclass(frozen=True, slots=True)
class Published:
    """What JetStream said of an event.

    Attributes:
        event_id: The event's id; the same for every repeat of one request.
        sequence: Number of the event in its stream, from 1.
        duplicate: Whether the stream had it already.
    """

    event_id: str
    sequence: int
    duplicate: bool


class EventLog:
    """The connection of one process to the event log.

    `run` keeps it connected; publishing and consuming need that it runs. A connection that is lost, or that does not
    answer, is thrown away for another: what nats-py does to mend one can come to nothing (deploy/decisions/0177).
    """

    def __init__(self, config: KitConfig, telemetry: Telemetry) -> None:
        """Prepares the connection; `run` opens it."""
        self._url = config.nats_url
        self._service = config.service
        self._default_deadline_s = config.deadline_s
        self._telemetry = telemetry
        self._client = Client()
        self._up = asyncio.Event()
        self._closing = False
        self._streams: set[str] = set()
        self._on_change: list[Callable[[bool], Awaitable[None]]] = []

    @property
    def enabled(self) -> bool:
        """Whether UAIT_NATS_URL names a server."""
        return self._url is not None

    @property
    def up(self) -> bool:
        """Whether NATS is connected now."""
        return self._up.is_set()

    @property
    def client(self) -> Client:
        """The NATS client of the moment; connected only while `up`, and another one after that."""
        return self._client

    def on_change(self, callback: Callable[[bool], Awaitable[None]]) -> None:
        """Has `callback` told whenever NATS comes (True) or goes (False)."""
        self._on_change.append(callback)

    async def wait_up(self) -> None:
        """Waits until NATS is connected."""
        await self._up.wait()

    async def run(self) -> None:
        """Connects, however long that takes, and again whenever the connection is lost; cancelled, leaves it open."""
        while self._url is not None and not self._closing:
            self._client = client = Client()
            try:
                await apart(self._connect(client, self._url), within_s=_CONNECT_S)
                await self._connected()
                await _until_lost(client)
            except (nats.errors.Error, TimeoutError, OSError) as error:
                log("debug", "event log not connected", reason=repr(error))
            except Exception as error:
                log("error", "event log failed", error=error)
            await self._down()
            await _close(client)
            await asyncio.sleep(_RECONNECT_WAIT_S)

    async def _connect(self, client: Client, url: str) -> None:
        await client.connect(
            url,
            name=self._service,
            allow_reconnect=False,
            max_reconnect_attempts=-1,
            reconnect_time_wait=_RECONNECT_WAIT_S,  # type: ignore[arg-type]  # a number of seconds, annotated as int
            error_cb=_log_error,
        )
        # nats-py takes a connection that ends during its handshake for one that stands.
        if not client.is_connected:
            raise nats.errors.ConnectionClosedError

    async def close(self) -> None:
        """Sends what is buffered and ends the connection."""
        self._closing = True
        if not self.enabled:
            return
        if self._client.is_connected:
            try:
                await apart(self._client.flush(timeout=1), within_s=_CLOSE_S)
            except (nats.errors.Error, TimeoutError, OSError) as error:
                log("warn", "event log closed without a flush", reason=repr(error))
        await _close(self._client)

    async def publish(self, area: str, event: event_pb2.Event, *, request_id: str = "") -> Published:
        """Stores an event of the tenant of the work in hand.

        Args:
            area: The stream's area, such as `echo`.
            event: With its payload set; id, source, tenant, time and traceparent are filled in here.
            request_id: Makes the event's id follow from tenant and request, so that a repeat stores nothing;
                empty for an id that is new (UUID version 7).

        Returns:
            What JetStream said once the event was on disk.

        Raises:
            StatusError: DEPENDENCY_UNAVAILABLE when NATS stayed away until the deadline of the work in hand.
        """
        call = current_call()
        tenant = call.identity.tenant
        event.id = _derived_id(self._service, area, tenant, request_id) if request_id else _uuid7()
        event.source = self._service
        event.tenant = tenant
        event.time.CopyFrom(_now())
        kind = event.WhichOneof("payload")
        subject = f"uait.{area}.{tenant}.{kind}"
        span = self._telemetry.start_span(
            f"{subject_template(area, kind)} publish",
            SpanKind.SPAN_KIND_PRODUCER,
            parent=call.span,
            attributes=[
                attribute("messaging.system", "nats"),
                attribute("messaging.operation.type", "send"),
                attribute("messaging.destination.name", subject),
                new_attribute("messaging.message.id", event.id),
                attribute("uait.tenant", tenant),
            ],
        )
        headers = {"Nats-Msg-Id": event.id, **span.headers()}
        event.traceparent = headers.get("traceparent", "")
        published = self._telemetry.events_published
        failed = True
        try:
            ack = await self._store(
                area, subject, event.SerializeToString(), headers, self._time_left_s(call.time_left_s)
            )
            failed = False
        finally:
            span.end(failed=failed)
            if failed:
                published.labels(area, "failed").inc()
        published.labels(area, "duplicate" if ack.duplicate else "stored").inc()
        return ack

    def _time_left_s(self, left_s: float | None) -> float:
        """Returns how long to try: all but a little of what the caller gave, so that the answer is still heard."""
        if left_s is None:
            return self._default_deadline_s
        return max(0.0, left_s - min(0.05, left_s * 0.1))

    async def _store(
        self, area: str, subject: str, payload: bytes, headers: dict[str, str], time_left_s: float
    ) -> Published:
        """Offers the event, with the same id, until JetStream has it on disk."""
        try:
            if not self.enabled:
                raise TimeoutError
            async with asyncio.timeout(time_left_s):
                while True:
                    await self._up.wait()
                    try:
                        ack = await apart(self._offer(area, subject, payload, dict(headers)), within_s=_ATTEMPT_S)
                        return Published(headers["Nats-Msg-Id"], ack.seq, bool(ack.duplicate))
                    except nats.js.errors.NoStreamResponseError:
                        self._streams.discard(area)
                    except (nats.errors.Error, TimeoutError, OSError) as error:
                        log("debug", "event not stored yet", subject=subject, reason=repr(error))
                    await asyncio.sleep(_RETRY_S)
        except TimeoutError:
            raise StatusError(
                error_pb2.REASON_DEPENDENCY_UNAVAILABLE,
                "the event log cannot be reached",
                metadata={"dependency": "nats"},
            ) from None

    async def _offer(self, area: str, subject: str, payload: bytes, headers: dict[str, str]) -> PubAck:
        jetstream = await self.stream(area)
        return await jetstream.publish(
            subject, payload, timeout=_ACK_TIMEOUT_S, stream=stream_of(area), headers=headers
        )

    async def stream(self, area: str) -> JetStreamContext:
        """Returns JetStream, with the stream of `area` made if nobody has made it yet."""
        jetstream = self._client.jetstream(timeout=_ACK_TIMEOUT_S)
        if area not in self._streams:
            try:
                await jetstream.add_stream(_stream_config(area))
            except nats.js.errors.APIError as error:
                # Whoever came first decided; a stream that differs in detail serves as well.
                if error.err_code != _STREAM_EXISTS:
                    raise
            self._streams.add(area)
        return jetstream

    async def _connected(self) -> None:
        self._streams.clear()
        self._up.set()
        log("info", "event log connected", url=self._url)
        for callback in self._on_change:
            await callback(True)

    async def _down(self) -> None:
        if self._up.is_set() and not self._closing:
            self._up.clear()
            log("warn", "event log lost", url=self._url)
            for callback in self._on_change:
                await callback(False)


async def _until_lost(client: Client) -> None:
    """Returns, or raises, when the connection is no more: nobody reads from it, or the server does not answer."""
    reading, writing = client._reading_task, client._flusher_task
    assert reading is not None
    assert writing is not None
    for task in (reading, writing):
        task.add_done_callback(take_result)
    while not reading.done():
        await asyncio.wait([reading], timeout=_PING_INTERVAL_S)
        if not reading.done():
            await apart(client.rtt(timeout=_PING_TIMEOUT_S), within_s=_PING_TIMEOUT_S)


async def _close(client: Client) -> None:
    """Closes a client in whatever state it is; nats-py's own close may raise, or wait for a server that is gone."""
    try:
        await apart(client.close(), within_s=_CLOSE_S)
    except Exception as error:
        log("debug", "event log not closed in order", reason=repr(error))


def stream_of(area: str) -> str:
    """Returns the name of the stream of an area."""
    return f"UAIT_{area.upper()}"


def subject_template(area: str, kind: str | None) -> str:
    """Returns the subject without its tenant, as span names must be of low cardinality."""
    return f"uait.{area}.{{tenant}}.{kind}"


def _stream_config(area: str) -> StreamConfig:
    return StreamConfig(
        name=stream_of(area),
        subjects=[f"uait.{area}.>"],
        storage=StorageType.FILE,
        retention=RetentionPolicy.LIMITS,
        max_age=_MAX_AGE_S,
        duplicate_window=_DUPLICATE_WINDOW_S,
    )


def _derived_id(service: str, area: str, tenant: str, request_id: str) -> str:
    # Only the request_id may hold a slash, so different requests never make one text. The service is part of it: two
    # services of one area may get the same request_id for requests of their own.
    return str(uuid.uuid5(_REQUEST, f"{service}/{area}/{tenant}/{request_id}"))


def _uuid7() -> str:
    """Returns a UUID of version 7 (RFC 9562, section 5.7): 48 bits of Unix milliseconds, then 74 random bits."""
    value = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10), "big")
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return str(uuid.UUID(int=value))


def _now() -> Timestamp:
    now = Timestamp()
    now.FromNanoseconds(time.time_ns())
    return now


async def _log_error(error: Exception) -> None:
    log("debug", "event log error", reason=repr(error))
