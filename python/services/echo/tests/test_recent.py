from __future__ import annotations

import asyncio

import pytest

from services.echo.recent import Recent


async def test_wait_before_put_returns_when_it_is_put() -> None:
    recent: Recent[str, int] = Recent(limit=10)
    waiting = [asyncio.create_task(recent.wait("a")) for _ in range(2)]
    await asyncio.sleep(0)
    recent.put("a", 1)
    assert await asyncio.gather(*waiting) == [1, 1]


async def test_wait_after_put_returns_at_once() -> None:
    recent: Recent[str, int] = Recent(limit=10)
    recent.put("a", 1)
    assert await recent.wait("a") == 1


async def test_values_past_the_limit_go_oldest_put_first() -> None:
    recent: Recent[str, int] = Recent(limit=2)
    for key, value in (("a", 1), ("b", 2), ("a", 3), ("c", 4)):
        recent.put(key, value)
    assert (len(recent), recent.get("a"), recent.get("b"), recent.get("c")) == (2, 3, None, 4)


async def test_wait_that_is_cancelled_leaves_nothing_behind() -> None:
    recent: Recent[str, int] = Recent(limit=2)
    waiting = asyncio.create_task(recent.wait("a"))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    recent.put("a", 1)
    assert recent._waiting == {}
