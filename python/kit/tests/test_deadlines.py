from __future__ import annotations

import asyncio

import pytest

from uait_kit._deadlines import Deadlines
from uait_kit.testing import eventually


class Call:
    def __init__(self, expires_s: float) -> None:
        self.expires_s = expires_s
        self.timer: asyncio.TimerHandle | None = None
        self.expired_s: float | None = None

    def expire(self) -> None:
        self.expired_s = asyncio.get_running_loop().time()


@pytest.mark.parametrize("left_s", [0.0, 0.05, 1.2])
async def test_deadline_near_or_far_is_told_once_it_has_come(left_s: float) -> None:
    loop = asyncio.get_running_loop()
    deadlines = Deadlines()
    call = Call(loop.time() + left_s)
    deadlines.add(call, loop)

    async def told() -> bool:
        return call.expired_s is not None

    await eventually(told)
    assert call.expired_s is not None
    # The event loop's clock may be short of a timer by its resolution.
    assert call.expired_s >= call.expires_s - 0.001
    deadlines.remove(call)


@pytest.mark.parametrize("left_s", [0.05, 1.2])
async def test_deadline_that_was_removed_is_never_told(left_s: float) -> None:
    loop = asyncio.get_running_loop()
    deadlines = Deadlines()
    removed, kept = Call(loop.time() + left_s), Call(loop.time() + left_s)
    for call in (removed, kept):
        deadlines.add(call, loop)
    deadlines.remove(removed)
    deadlines.remove(removed)

    async def told() -> bool:
        return kept.expired_s is not None

    await eventually(told)
    assert removed.expired_s is None


async def test_call_without_deadline_left_leaves_no_timer_behind() -> None:
    loop = asyncio.get_running_loop()
    deadlines = Deadlines()
    call = Call(loop.time() + 3_600)
    deadlines.add(call, loop)
    deadlines.remove(call)
    assert deadlines._far == set()
    assert call.timer is None
