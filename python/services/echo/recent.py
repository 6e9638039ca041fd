"""Values that somebody may wait for, kept in bounded memory."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import Generic, TypeVar

__all__ = ["Recent"]

K = TypeVar("K")
V = TypeVar("V")


class Recent(Generic[K, V]):
    """The most recently put values by key; belongs to one event loop."""

    def __init__(self, *, limit: int) -> None:
        """Makes it empty.

        Args:
            limit: How many values are kept, at least 1; the one put longest ago goes first.
        """
        self._limit = limit
        self._values: OrderedDict[K, V] = OrderedDict()
        self._waiting: dict[K, set[asyncio.Future[V]]] = {}

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: K) -> V | None:
        """Returns the value of a key, None when there is none or it has gone."""
        return self._values.get(key)

    def put(self, key: K, value: V) -> None:
        """Keeps a value and hands it to all who wait for it."""
        self._values[key] = value
        self._values.move_to_end(key)
        if len(self._values) > self._limit:
            self._values.popitem(last=False)
        for future in self._waiting.pop(key, ()):
            if not future.done():
                future.set_result(value)

    async def wait(self, key: K) -> V:
        """Returns the value of a key, now or when it is put; waits until cancelled."""
        value = self._values.get(key)
        if value is not None:
            return value
        future: asyncio.Future[V] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(key, set()).add(future)
        try:
            return await future
        finally:
            waiting = self._waiting.get(key)
            if waiting is not None:
                waiting.discard(future)
                if not waiting:
                    del self._waiting[key]
