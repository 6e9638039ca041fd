from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from uait.echo.v1 import echo_pb2
from uait.error.v1 import error_pb2
from uait_kit import Call, Idempotency, Identity, StatusError, Telemetry, current_call
from uait_kit._trace import SpanKind
from uait_kit.testing import settings

Answer = echo_pb2.EchoResponse


class Scene:
    """Work that is counted, and may be held up or fail."""

    def __init__(self, **options: Any) -> None:
        self.now_s = 0.0
        self.done = 0
        self.failure: Exception | None = None
        self.gate: asyncio.Event | None = None
        self.cancelled = 0
        self.once = Idempotency(clock=lambda: self.now_s, **options)

    async def work(self) -> Answer:
        self.done += 1
        number = self.done
        try:
            if self.gate is not None:
                await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.failure is not None:
            raise self.failure
        return Answer(message=str(number))

    async def ask(self, request_id: str = "r", message: str = "", **options: Any) -> str:
        request = echo_pb2.PublishRequest(request_id=request_id, message=message)
        return (await self.once.run("Publish", request, self.work, **options)).message


def within(tenant: str, time_left_s: float | None = None) -> None:
    """Makes the running task serve a call of the tenant."""
    span = Telemetry(settings()).start_span("test", SpanKind.SPAN_KIND_SERVER, parent=None, attributes=[])
    Call(Identity(tenant), span, time_left_s=time_left_s).enter()


async def turns(coroutine: Callable[[], Coroutine[Any, Any, str]], count: int) -> list[asyncio.Task[str]]:
    tasks = [asyncio.create_task(coroutine()) for _ in range(count)]
    for _ in range(5):
        await asyncio.sleep(0)
    return tasks


async def test_repeat_gets_the_first_answer_and_does_nothing() -> None:
    within("acme")
    scene = Scene()
    assert [await scene.ask(), await scene.ask()] == ["1", "1"]


async def test_same_id_with_another_request_is_refused() -> None:
    within("acme")
    scene = Scene()
    await scene.ask(message="one")
    with pytest.raises(StatusError) as refused:
        await scene.ask(message="two")
    assert refused.value.reason == error_pb2.REASON_REQUEST_ID_REUSED
    assert refused.value.metadata == {"request_id": "r"}


async def test_id_of_another_tenant_is_another_id() -> None:
    within("acme")
    scene = Scene()
    await scene.ask()
    within("globex")
    assert await scene.ask() == "2"


async def test_repeats_at_once_join_the_work() -> None:
    within("acme")
    scene = Scene()
    scene.gate = asyncio.Event()
    asked = await turns(scene.ask, 3)
    scene.gate.set()
    assert await asyncio.gather(*asked) == ["1", "1", "1"]


async def test_work_goes_on_for_who_stays_and_ends_with_the_last() -> None:
    within("acme")
    scene = Scene()
    scene.gate = asyncio.Event()
    first, second = await turns(scene.ask, 2)
    first.cancel()
    await asyncio.wait([first])
    assert scene.cancelled == 0
    second.cancel()
    await asyncio.wait([second])
    await asyncio.sleep(0)
    assert scene.cancelled == 1
    scene.gate = None
    assert await scene.ask() == "2"


async def test_detached_work_outlives_its_callers_and_their_deadline() -> None:
    within("acme", time_left_s=5)
    scene = Scene()
    scene.gate = asyncio.Event()
    left: list[float | None] = []

    async def work() -> Answer:
        left.append(current_call().time_left_s)
        return await scene.work()

    request = echo_pb2.PublishRequest(request_id="r")
    asked = asyncio.create_task(scene.once.run("Publish", request, work, detached=True))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    asked.cancel()
    await asyncio.wait([asked])
    scene.gate.set()
    assert (await scene.once.run("Publish", request, work, detached=True)).message == "1"
    assert left == [None]


@pytest.mark.parametrize(
    ("reason", "tries"), [(error_pb2.REASON_VALUE_CONFLICT, 1), (error_pb2.REASON_DEPENDENCY_UNAVAILABLE, 2)]
)
async def test_failure_is_remembered_only_if_it_is_final(reason: error_pb2.Reason, tries: int) -> None:
    within("acme")
    scene = Scene()
    scene.failure = StatusError(reason, "no")
    for _ in range(2):
        with pytest.raises(StatusError, match="no"):
            await scene.ask()
    assert scene.done == tries


async def test_end_of_the_first_callers_time_is_not_the_end_of_the_others() -> None:
    within("acme")
    scene = Scene()
    scene.gate = asyncio.Event()
    first, second = await turns(scene.ask, 2)
    scene.failure = StatusError(error_pb2.REASON_DEADLINE_EXCEEDED, "late")
    scene.gate.set()
    with pytest.raises(StatusError, match="late"):
        await first
    scene.failure = None
    assert await second == "2"


async def test_answers_are_forgotten_by_age_number_and_size() -> None:
    within("acme")
    scene = Scene(ttl_s=10, capacity=2)
    await scene.ask("a")
    scene.now_s = 10
    assert await scene.ask("a") == "2"
    await scene.ask("b")
    await scene.ask("c")
    assert await scene.ask("c") == "4"
    assert await scene.ask("a") == "5"
    small = Scene(capacity_bytes=1)
    assert [await small.ask(), await small.ask()] == ["1", "2"]
