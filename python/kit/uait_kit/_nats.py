"""nats-py without aiohttp, which it would import for WebSockets if it is there: 8 MB that no process here needs."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine
from typing import Any, TypeVar

_spared = "aiohttp" not in sys.modules
if _spared:
    sys.modules["aiohttp"] = None  # type: ignore[assignment]  # the import system's own mark of what cannot be imported
try:
    import nats.errors
    import nats.js.errors
    from nats.aio.client import Client
    from nats.js.api import AckPolicy, ConsumerConfig, RetentionPolicy, StorageType, StreamConfig
finally:
    if _spared:
        del sys.modules["aiohttp"]

__all__ = [
    "AckPolicy",
    "Client",
    "ConsumerConfig",
    "RetentionPolicy",
    "StorageType",
    "StreamConfig",
    "apart",
    "nats",
    "take_result",
]

_T = TypeVar("_T")


async def apart(work: Coroutine[Any, Any, _T], *, within_s: float | None = None) -> _T:
    """Awaits a coroutine of nats-py in a task of its own, which is given up when its time is over.

    nats-py swallows cancellations (`Client._flush_pending`, `Subscription.next_msg` of a closed client, `wait_for` of
    Python before 3.12): neither a timeout nor the end of the process is sure to reach who awaits it directly.

    Raises:
        TimeoutError: It took longer, or nats-py cancelled it itself, as it does when a connection is closed.
    """
    task = asyncio.get_running_loop().create_task(work)
    task.add_done_callback(take_result)
    try:
        await asyncio.wait([task], timeout=within_s)
        if not task.done() or task.cancelled():
            raise TimeoutError
        return task.result()
    finally:
        task.cancel()


def take_result(task: asyncio.Task[Any]) -> None:
    """Has asyncio not complain of a failure that nobody waits for any more."""
    if not task.cancelled():
        task.exception()
