"""Timers for the deadlines of calls, most of which end long before."""

from __future__ import annotations

import asyncio
from typing import Protocol

__all__ = ["Deadlines", "Expiring"]

# A deadline this near has a timer of the event loop; those further away are looked through twice in the time.
_NEAR_S = 1.0


class Expiring(Protocol):
    """What has a deadline.

    Attributes:
        expires_s: When, by the event loop's clock.
        timer: Its timer, once the deadline is near.
    """

    expires_s: float
    timer: asyncio.TimerHandle | None

    def expire(self) -> None:
        """Told once, at the deadline, unless it was removed before."""


class Deadlines:
    """Tells each of many when its deadline has come.

    The event loop's own timers are kept in a heap that is ordered in Python, cancelled ones too: 5 us for each call
    (deploy/decisions/0173). A set holds those that are far away for a tenth of it.
    """

    def __init__(self) -> None:
        self._far: set[Expiring] = set()
        self._look: asyncio.TimerHandle | None = None

    def add(self, it: Expiring, loop: asyncio.AbstractEventLoop) -> None:
        """Takes note of a deadline; from within `loop`."""
        if it.expires_s - loop.time() < _NEAR_S:
            it.timer = loop.call_at(it.expires_s, it.expire)
            return
        self._far.add(it)
        if self._look is None:
            self._look = loop.call_later(_NEAR_S / 2, self._look_through, loop)

    def remove(self, it: Expiring) -> None:
        """Forgets a deadline, whether it has come or not."""
        if it.timer is not None:
            it.timer.cancel()
            it.timer = None
        else:
            self._far.discard(it)

    def _look_through(self, loop: asyncio.AbstractEventLoop) -> None:
        soon_s = loop.time() + _NEAR_S
        for it in [each for each in self._far if each.expires_s < soon_s]:
            self._far.remove(it)
            it.timer = loop.call_at(it.expires_s, it.expire)
        self._look = loop.call_later(_NEAR_S / 2, self._look_through, loop) if self._far else None
