"""What the kit knows of the work in hand: a call being served, or an event being handled."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import grpc

    from uait_kit._identity import Identity
    from uait_kit._trace import Span

__all__ = ["Call", "current_call", "find_call"]

_current: ContextVar[Call | None] = ContextVar("uait_call", default=None)


class Call:
    """One piece of work: who wants it, by when, in which span.

    It belongs to the task of the handler and is not safe for threads. `dial` and `events` read it, so that identity,
    deadline and trace context go on to whatever the handler calls or publishes.

    Attributes:
        identity: On whose behalf.
        span: The span of this work, or the innermost one opened within it.
    """

    __slots__ = ("_deadline_s", "_on_end", "identity", "span")

    def __init__(self, identity: Identity, span: Span, *, time_left_s: float | None = None) -> None:
        """Makes the record.

        Args:
            identity: On whose behalf.
            span: The span of this work.
            time_left_s: Time until the deadline, in seconds; None for no deadline.
        """
        self.identity = identity
        self.span = span
        self._deadline_s = None if time_left_s is None else time.monotonic() + time_left_s
        self._on_end: list[Callable[[grpc.StatusCode], None]] = []

    @property
    def time_left_s(self) -> float | None:
        """Time until the deadline, in seconds, never negative; None when the caller set none."""
        return None if self._deadline_s is None else max(0.0, self._deadline_s - time.monotonic())

    @property
    def trace_id(self) -> str:
        """W3C trace id, 32 lower-case hex digits; empty when the work is not part of a trace."""
        return self.span.trace_id

    @property
    def span_id(self) -> str:
        """W3C span id, 16 lower-case hex digits; empty when the work is not part of a trace."""
        return self.span.span_id

    def on_end(self, callback: Callable[[grpc.StatusCode], None]) -> None:
        """Has `callback` called with the code of the answer, once the handler has ended in whatever way."""
        self._on_end.append(callback)

    def end(self, code: grpc.StatusCode) -> None:
        """Tells those who asked by `on_end`; for the kit."""
        for callback in self._on_end:
            callback(code)

    def enter(self) -> None:
        """Makes this the work of the running task; for the kit."""
        _current.set(self)


def current_call() -> Call:
    """Returns the work of the running task.

    Raises:
        LookupError: The task serves no call and handles no event.
    """
    call = _current.get()
    if call is None:
        raise LookupError("no call is being served and no event is being handled in this task")
    return call


def find_call() -> Call | None:
    """Returns the work of the running task, or None."""
    return _current.get()
