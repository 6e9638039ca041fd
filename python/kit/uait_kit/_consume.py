"""Consumers of the event log: durable, at least once from JetStream, once for each handler."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from google.protobuf.message import DecodeError

from uait.event.v1 import event_pb2
from uait_kit._call import Call
from uait_kit._events import EventLog, stream_of, subject_template
from uait_kit._identity import Identity
from uait_kit._log import log
from uait_kit._nats import AckPolicy, Client, ConsumerConfig, apart, nats
from uait_kit._otlp import attribute, new_attribute
from uait_kit._status import FieldsInvalid
from uait_kit._telemetry import Telemetry
from uait_kit._trace import SpanKind, read_context
from uait_kit._validate import validate

if TYPE_CHECKING:
    from nats.aio.msg import Msg

__all__ = ["Consumer", "EventHandler"]

_ACK_WAIT_S = 30.0
_IN_PROGRESS_S = 10.0
_MAX_IN_FLIGHT = 256
_BACKOFF_S = 0.1
_MAX_BACKOFF_S = 30.0
_REMEMBERED = 10_000
_PULL_EXPIRES_S = 2.0
_PULL_SLACK_S = 0.5
_RETRY_S = 0.25
_REQUEST_S = 2.0
_ACK = b"+ACK"
_IN_PROGRESS = b"+WPI"
_TERM = b"+TERM"

EventHandler = Callable[[event_pb2.Event], Awaitable[None]]
"""Handles one event; raising has it tried again later. `current_call()` tells identity and span within it."""


class Consumer:
    """One service's durable pull consumer of one area.

    JetStream delivers an event until it is acknowledged, and replicas of one service share the deliveries. Within a
    process the ids of the last 10,000 handled events are remembered, so that a repeat is acknowledged without being
    handled again; across a restart a handler that must not repeat itself keeps the id with its effect.
    """

    def __init__(self, log_: EventLog, telemetry: Telemetry, *, area: str, durable: str, handler: EventHandler) -> None:
        """Prepares the consumer; `run` starts it.

        Args:
            log_: The connection.
            telemetry: Takes process spans and counts.
            area: The stream's area.
            durable: Name of the consumer: the service's.
            handler: Called for each event, at most 256 at once.
        """
        self._log = log_
        self._telemetry = telemetry
        self._area = area
        self._durable = durable
        self._handler = handler
        self._handled: OrderedDict[str, None] = OrderedDict()
        self._running: dict[str, asyncio.Task[bool]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._slot_free = asyncio.Event()
        # Outlives a connection, whose last deliveries are not lost with it.
        self._deliveries: asyncio.Queue[Msg] = asyncio.Queue()

    async def run(self) -> None:
        """Handles events until cancelled; what is being handled then is finished and acknowledged by `stop`."""
        while True:
            await self._log.wait_up()
            try:
                await self._pull_while_up()
            except (nats.errors.Error, TimeoutError, OSError) as error:
                log("debug", "consumer interrupted", area=self._area, reason=repr(error))
                await asyncio.sleep(_RETRY_S)

    async def stop(self, *, timeout_s: float) -> None:
        """Waits for the handlers under way, then cancels those left; their events come again elsewhere."""
        # With NATS away there is nobody to acknowledge to.
        under_way = self._tasks if self._log.up else self._running.values()
        if under_way:
            await asyncio.wait(under_way, timeout=timeout_s)
        for task in (*self._tasks, *self._running.values()):
            task.cancel()

    async def _pull_while_up(self) -> None:
        client = self._log.client
        await apart(self._prepare(), within_s=_REQUEST_S)
        inbox = client.new_inbox()
        subscription = await apart(client.subscribe(inbox, cb=self._deliveries.put), within_s=_REQUEST_S)
        try:
            while self._log.up and self._log.client is client:
                while len(self._tasks) >= _MAX_IN_FLIGHT:
                    self._slot_free.clear()
                    await self._slot_free.wait()
                await self._pull(client, inbox)
        finally:
            with contextlib.suppress(nats.errors.Error, TimeoutError, OSError):
                await apart(subscription.unsubscribe(), within_s=_REQUEST_S)

    async def _prepare(self) -> None:
        """Makes stream and consumer if nobody has made them yet."""
        jetstream = await self._log.stream(self._area)
        try:
            await jetstream.consumer_info(stream_of(self._area), self._durable)
        except nats.js.errors.NotFoundError:
            await jetstream.add_consumer(
                stream_of(self._area),
                ConsumerConfig(
                    name=self._durable,
                    durable_name=self._durable,
                    ack_policy=AckPolicy.EXPLICIT,
                    ack_wait=_ACK_WAIT_S,
                    max_ack_pending=_MAX_IN_FLIGHT,
                ),
            )

    async def _pull(self, client: Client, inbox: str) -> None:
        """Asks for as many events as there are free slots and starts handling each as it arrives.

        The client's own `fetch` gathers a batch until it is full or its time is over, which delays the first event.
        """
        batch = _MAX_IN_FLIGHT - len(self._tasks)
        request = {"batch": batch, "expires": int(_PULL_EXPIRES_S * 1e9)}
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{stream_of(self._area)}.{self._durable}"
        await apart(client.publish(subject, json.dumps(request).encode(), inbox), within_s=_REQUEST_S)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PULL_EXPIRES_S + _PULL_SLACK_S):
                for _ in range(batch):
                    message = await self._deliveries.get()
                    if (message.headers or {}).get("Status") is not None:
                        _read_status(message)
                        return
                    task = asyncio.get_running_loop().create_task(self._take(message))
                    self._tasks.add(task)
                    task.add_done_callback(self._free)

    def _free(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._slot_free.set()

    async def _take(self, message: Msg) -> None:
        """Sees one delivery through to its acknowledgement."""
        handled = self._telemetry.events_handled
        try:
            event = event_pb2.Event.FromString(message.data)
            validate(event)
        except (DecodeError, FieldsInvalid) as error:
            handled.labels(self._area, "malformed").inc()
            log("error", "event is malformed", error=error, subject=message.subject)
            await self._answer(message, _TERM)
            return
        if event.id in self._handled:
            handled.labels(self._area, "duplicate").inc()
            await self._answer(message, _ACK)
            return
        running = self._running.get(event.id)
        if running is None:
            running = asyncio.get_running_loop().create_task(self._handle(event))
            self._running[event.id] = running
            running.add_done_callback(lambda _: self._running.pop(event.id, None))
        if await self._extend_while(running, message):
            await self._answer(message, _ACK)
        else:
            attempt = message.metadata.num_delivered
            delay_s = min(_BACKOFF_S * 2 ** min(attempt - 1, 16), _MAX_BACKOFF_S)
            await self._answer(message, f'-NAK {{"delay": {int(delay_s * 1e9)}}}'.encode())

    async def _handle(self, event: event_pb2.Event) -> bool:
        """Runs the handler in a process span of the publisher's trace; returns whether it succeeded."""
        span = self._telemetry.start_span(
            f"{subject_template(self._area, event.WhichOneof('payload'))} process",
            SpanKind.SPAN_KIND_CONSUMER,
            parent=read_context({"traceparent": event.traceparent}),
            attributes=[
                attribute("messaging.system", "nats"),
                attribute("messaging.operation.type", "process"),
                attribute("messaging.consumer.group.name", self._durable),
                new_attribute("messaging.message.id", event.id),
                attribute("uait.tenant", event.tenant),
            ],
        )
        Call(Identity(event.tenant), span).enter()
        failed = True
        try:
            await self._handler(event)
            failed = False
        except Exception as error:
            self._telemetry.events_handled.labels(self._area, "failed").inc()
            log("error", "event handler failed", error=error, area=self._area, event_id=event.id)
            return False
        finally:
            span.end(failed=failed)
        self._telemetry.events_handled.labels(self._area, "handled").inc()
        self._handled[event.id] = None
        if len(self._handled) > _REMEMBERED:
            self._handled.popitem(last=False)
        return True

    async def _extend_while(self, running: asyncio.Task[bool], message: Msg) -> bool:
        """Waits for the handler and has JetStream wait too, however long it takes."""
        while True:
            done, _ = await asyncio.wait([running], timeout=_IN_PROGRESS_S)
            if done:
                return running.result()
            await self._answer(message, _IN_PROGRESS)

    async def _answer(self, message: Msg, answer: bytes) -> None:
        """Answers a delivery, by the connection of the moment, as the one that it came by may be lost.

        An answer that is lost brings the event again, and it is then known as handled.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_ACK_WAIT_S):
                while True:
                    await self._log.wait_up()
                    try:
                        return await apart(self._log.client.publish(message.reply, answer), within_s=_REQUEST_S)
                    except (nats.errors.Error, TimeoutError, OSError) as error:
                        log("debug", "acknowledgement not sent yet", area=self._area, reason=repr(error))
                    await asyncio.sleep(_RETRY_S)


def _read_status(message: Msg) -> None:
    """Reads what ended a pull: usually that its time is over.

    Raises:
        nats.errors.Error: There is no JetStream, or no such consumer.
    """
    headers = message.headers or {}
    if headers.get("Status") == "503":
        raise nats.errors.NoRespondersError
    if "Consumer Deleted" in headers.get("Description", ""):
        raise nats.js.errors.NotFoundError
