from __future__ import annotations

import asyncio
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import grpc
import pytest
from nats.js.api import ConsumerInfo

from uait.event.v1 import event_pb2
from uait_kit import (
    Call,
    Consumer,
    EventLog,
    Identity,
    Published,
    Span,
    SpanKind,
    StatusError,
    Telemetry,
    _events,
    current_call,
)
from uait_kit._nats import apart
from uait_kit._trace import Tracer, read_context
from uait_kit.testing import NatsServer, eventually, settings

_AREA = "echo"
_ROUNDS = 4
_WORKERS = 8
_COMES_AGAIN_S = 60.0
"""Enough for an event that went to a connection before JetStream saw it closed: it waits 30 s for the ack."""


class Listener:
    """Writes down what it handles; fails as often as told first."""

    def __init__(self, *, failures: int = 0) -> None:
        self.failures = failures
        self.attempts_s: list[float] = []
        self.handled: Counter[str] = Counter()
        self.seen: list[tuple[event_pb2.Event, str, str]] = []

    async def handle(self, event: event_pb2.Event) -> None:
        self.attempts_s.append(time.monotonic())
        if self.failures:
            self.failures -= 1
            raise RuntimeError("not yet")
        self.handled[event.id] += 1
        self.seen.append((event, current_call().identity.tenant, current_call().trace_id))

    async def until(self, count: int, *, within_s: float = 10.0) -> None:
        async def enough() -> bool:
            return len(self.handled) >= count

        await eventually(enough, within_s=within_s)


@asynccontextmanager
async def event_log(
    url: str, *listeners: Listener, durable: str = "echo-test", telemetry: Telemetry | None = None
) -> AsyncIterator[EventLog]:
    """Runs a connection and a consumer for each listener; all of them share one durable."""
    config = settings(UAIT_NATS_URL=url)
    telemetry = telemetry or Telemetry(config)
    log = EventLog(config, telemetry)
    consumers = [Consumer(log, telemetry, area=_AREA, durable=durable, handler=each.handle) for each in listeners]
    tasks = [asyncio.create_task(log.run()), *(asyncio.create_task(each.run()) for each in consumers)]
    try:
        yield log
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for consumer in consumers:
            await consumer.stop(timeout_s=5)
        await log.close()


async def publish(
    log: EventLog, message: str, *, request_id: str = "", tenant: str = "acme", within_s: float = 10.0
) -> Published:
    """Publishes as the handler of a call does."""

    async def handler() -> Published:
        trace = read_context({"traceparent": f"00-{0xABC:032x}-{0xDEF:016x}-01"})
        # Disabled, so that it stands in for its parent.
        span = Tracer(ratio=1.0, ended=None).start("call", SpanKind.SPAN_KIND_SERVER, parent=trace, attributes=[])
        Call(Identity(tenant), span, time_left_s=within_s).enter()
        event = event_pb2.Event(echoed=event_pb2.Echoed(message=message))
        return await log.publish(_AREA, event, request_id=request_id)

    # A task of its own, as each call has: the work in hand belongs to the task.
    return await asyncio.create_task(handler())


async def consumer_info(log: EventLog) -> ConsumerInfo:
    info: ConsumerInfo = await log.client.jetstream().consumer_info("UAIT_ECHO", "echo-test")
    return info


async def test_event_is_stored_with_all_it_needs_and_handled_once(nats_server: NatsServer) -> None:
    listener = Listener()
    async with event_log(nats_server.url, listener) as log:
        published = await publish(log, "news")
        await listener.until(1)
        event, tenant, trace_id = listener.seen[0]
        assert (published.sequence, published.duplicate) == (1, False)
        assert (event.id, event.source, event.tenant, event.echoed.message) == (
            published.event_id,
            "echo-test",
            "acme",
            "news",
        )
        assert uuid.UUID(event.id).version == 7
        assert abs(event.time.ToNanoseconds() - time.time_ns()) < 60e9
        assert (tenant, trace_id) == ("acme", f"{0xABC:032x}")
        assert event.traceparent == f"00-{0xABC:032x}-{0xDEF:016x}-01"
        raw = await log.client.jetstream().get_msg("UAIT_ECHO", 1)
        assert raw.subject == "uait.echo.acme.echoed"
        assert (raw.headers or {})["Nats-Msg-Id"] == event.id


async def test_stream_and_consumer_are_made_as_specified(nats_server: NatsServer) -> None:
    listener = Listener()
    async with event_log(nats_server.url, listener) as log:
        await publish(log, "x")
        await listener.until(1)
        stream = (await log.client.jetstream().stream_info("UAIT_ECHO")).config
        assert (stream.subjects, stream.storage, stream.retention) == (["uait.echo.>"], "file", "limits")
        assert (stream.duplicate_window, stream.max_age) == (600, 30 * 24 * 3600)
        consumer = (await consumer_info(log)).config
        assert (consumer.durable_name, consumer.ack_policy, consumer.ack_wait) == ("echo-test", "explicit", 30)
        assert consumer.max_ack_pending == 256


async def test_request_repeated_returns_the_first_answer_and_other_tenants_have_their_own(
    nats_server: NatsServer,
) -> None:
    listener = Listener()
    async with event_log(nats_server.url, listener) as log:
        first = await publish(log, "x", request_id="r1")
        again = await publish(log, "x", request_id="r1")
        other = await publish(log, "x", request_id="r1", tenant="globex")
        assert again == Published(first.event_id, first.sequence, duplicate=True)
        assert other.event_id != first.event_id
        await listener.until(2)
    assert set(listener.handled.values()) == {1}


async def test_event_delivered_again_is_acknowledged_and_not_handled_again(nats_server: NatsServer) -> None:
    """Published past the duplicate window, as the raw second publication here, an event comes twice."""
    listener = Listener()
    config = settings(UAIT_NATS_URL=nats_server.url)
    telemetry = Telemetry(config)
    async with event_log(nats_server.url, listener, telemetry=telemetry) as log:
        published = await publish(log, "x")
        await listener.until(1)
        raw = await log.client.jetstream().get_msg("UAIT_ECHO", published.sequence)
        assert raw.data is not None
        await log.client.jetstream().publish("uait.echo.acme.echoed", raw.data)

        async def both_acknowledged() -> bool:
            floor = (await consumer_info(log)).ack_floor
            return floor is not None and floor.stream_seq == 2

        await eventually(both_acknowledged)
    assert listener.handled == {published.event_id: 1}
    labels = {"area": _AREA, "outcome": "duplicate"}
    assert telemetry.registry.get_sample_value("events_handled_total", labels) == 1


async def test_handler_that_fails_is_tried_again_ever_later(nats_server: NatsServer) -> None:
    listener = Listener(failures=3)
    async with event_log(nats_server.url, listener) as log:
        await publish(log, "x")
        await listener.until(1)
    pauses = [after - before for before, after in zip(listener.attempts_s, listener.attempts_s[1:], strict=False)]
    assert len(pauses) == 3
    assert all(pause >= least for pause, least in zip(pauses, (0.1, 0.2, 0.4), strict=True)), pauses


async def test_event_that_is_malformed_is_given_up_and_holds_nothing_up(nats_server: NatsServer) -> None:
    listener = Listener()
    async with event_log(nats_server.url, listener) as log:
        await publish(log, "first")
        await log.client.jetstream().publish("uait.echo.acme.echoed", b"\xff\xff")
        await log.client.jetstream().publish("uait.echo.acme.echoed", event_pb2.Event(id="x").SerializeToString())
        await publish(log, "last")
        await listener.until(2)

        async def nothing_left() -> bool:
            info = await consumer_info(log)
            return info.num_ack_pending == 0 and info.num_pending == 0

        await eventually(nothing_left)


async def test_publishing_while_nats_is_away_is_unavailable_at_the_deadline(nats_server: NatsServer) -> None:
    nats_server.kill()
    async with event_log(nats_server.url) as log:
        began_s = time.monotonic()
        with pytest.raises(StatusError) as refused:
            await publish(log, "x", within_s=0.5)
    assert refused.value.code is grpc.StatusCode.UNAVAILABLE
    assert refused.value.metadata == {"dependency": "nats"}
    assert time.monotonic() - began_s < 0.5


async def test_event_log_off_is_unavailable_at_once() -> None:
    async with event_log("off") as log:
        with pytest.raises(StatusError, match="event log"):
            await publish(log, "x", within_s=60)


async def test_publishing_waits_for_nats_to_come(nats_server: NatsServer) -> None:
    nats_server.kill()
    listener = Listener()
    async with event_log(nats_server.url, listener) as log:
        waiting = asyncio.create_task(publish(log, "x", within_s=30))
        await asyncio.sleep(0)
        await asyncio.to_thread(nats_server.start)
        assert (await waiting).sequence == 1
        await listener.until(1)


async def test_change_of_the_connection_is_told(nats_server: NatsServer) -> None:
    told: list[bool] = []

    async def on_change(up: bool) -> None:
        told.append(up)

    async with event_log(nats_server.url) as log:
        log.on_change(on_change)

        async def heard(count: int) -> bool:
            return len(told) == count

        await eventually(lambda: heard(1))
        nats_server.kill()
        await eventually(lambda: heard(2))
        await asyncio.to_thread(nats_server.start)
        await eventually(lambda: heard(3))
    assert told == [True, False, True]


async def test_nats_killed_under_load_loses_and_doubles_nothing(nats_server: NatsServer) -> None:
    """What was answered is stored once and handled once, whatever died in between."""
    listener = Listener()
    acknowledged: dict[str, Published] = {}
    running = True

    async def worker(number: int, log: EventLog) -> None:
        index = 0
        while running:
            request_id = f"w{number}-{index}"
            with suppress(StatusError):
                acknowledged[request_id] = await publish(log, request_id, request_id=request_id, within_s=30)
                index += 1

    async with event_log(nats_server.url, listener) as log:
        workers = [asyncio.create_task(worker(number, log)) for number in range(_WORKERS)]
        for _ in range(_ROUNDS):
            before = len(acknowledged)

            async def busy(before: int = before) -> bool:
                return len(acknowledged) >= before + 50

            await eventually(busy, within_s=30)
            nats_server.kill()
            await asyncio.to_thread(nats_server.start)
        running = False
        await asyncio.gather(*workers)
        await listener.until(len(acknowledged), within_s=60)
        messages = (await log.client.jetstream().stream_info("UAIT_ECHO")).state.messages
    assert len(acknowledged) >= 50 * _ROUNDS
    ids = {published.event_id for published in acknowledged.values()}
    sequences = {published.sequence for published in acknowledged.values()}
    assert len(ids) == len(sequences) == len(acknowledged) == messages
    assert listener.handled == dict.fromkeys(ids, 1)


async def test_connection_that_nobody_reads_from_is_replaced(nats_server: NatsServer) -> None:
    """nats-py's reading ends at an error that it does not expect, and the client still says that it is connected."""
    listener = Listener()
    async with event_log(nats_server.url, listener) as log:
        await publish(log, "before")
        dead = log.client
        assert dead._reading_task is not None
        dead._reading_task.cancel()
        await publish(log, "after")
        await listener.until(2, within_s=_COMES_AGAIN_S)
        assert log.client is not dead


async def test_connection_that_does_not_answer_is_replaced(
    nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_events, "_PING_INTERVAL_S", 0.1)
    monkeypatch.setattr(_events, "_PING_TIMEOUT_S", 0.2)
    listener = Listener()
    async with event_log(nats_server.url, listener) as log:
        await publish(log, "before")
        nats_server.pause()

        async def down() -> bool:
            return not log.up

        await eventually(down)
        nats_server.resume()
        await publish(log, "after")
        await listener.until(2, within_s=_COMES_AGAIN_S)


async def test_consumer_ends_when_cancelled_as_its_connection_closes(nats_server: NatsServer) -> None:
    """A message that is waited for from nats-py turns this cancellation into an error of the connection."""
    config = settings(UAIT_NATS_URL=nats_server.url)
    telemetry = Telemetry(config)
    listener = Listener()
    async with event_log(nats_server.url) as log:
        consumer = Consumer(log, telemetry, area=_AREA, durable="echo-test", handler=listener.handle)
        consuming = asyncio.create_task(consumer.run())
        await publish(log, "x")
        await listener.until(1)
        await log.client.close()
        consuming.cancel()
        await asyncio.wait([consuming], timeout=10)
        assert consuming.cancelled()


async def test_cancellation_that_nats_py_swallows_reaches_the_kit() -> None:
    """As does the end of the time that it is given."""
    release = asyncio.Event()

    async def deaf() -> None:
        while not release.is_set():
            with suppress(asyncio.CancelledError):
                await release.wait()

    with pytest.raises(TimeoutError):
        await apart(deaf(), within_s=0.01)
    waiting = asyncio.create_task(apart(deaf()))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting], timeout=10)
    release.set()
    assert waiting.cancelled()


async def test_spans_of_an_event_are_a_producer_and_a_consumer_of_one_trace(nats_server: NatsServer) -> None:
    ended: list[Span] = []
    traced = settings(OTEL_SDK_DISABLED="false", UAIT_NATS_URL=nats_server.url)
    listener = Listener()
    async with event_log(nats_server.url, listener, telemetry=Telemetry(traced, spans=ended.append)) as log:
        await publish(log, "x")
        await listener.until(1)

        async def both() -> bool:
            return len(ended) == 2

        await eventually(both)
    spans = {span.kind: span for span in ended}
    producer, consumer = spans[SpanKind.SPAN_KIND_PRODUCER], spans[SpanKind.SPAN_KIND_CONSUMER]
    assert producer.parent is not None
    assert consumer.parent is not None
    assert producer.parent.span_id == f"{0xDEF:016x}"
    assert consumer.parent.span_id == producer.span_id
    assert producer.trace_id == consumer.trace_id == f"{0xABC:032x}"
    assert (producer.name, consumer.name) == (
        "uait.echo.{tenant}.echoed publish",
        "uait.echo.{tenant}.echoed process",
    )
