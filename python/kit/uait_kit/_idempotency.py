"""First answers to requests, in memory, for services without a store of their own (proto/README.md, Idempotency)."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar, cast

import grpc
from google.protobuf.message import Message

from uait.error.v1 import error_pb2
from uait_kit._call import Call, current_call
from uait_kit._status import ErrorMap, StatusError, status_of

__all__ = ["Idempotency", "Repeatable"]

_TTL_S = 600.0
_CAPACITY = 10_000
_CAPACITY_BYTES = 64 * 1024 * 1024

# What the same request would be told for ever: a repeat gets it without the work being tried again.
_FINAL = frozenset(
    {
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.ALREADY_EXISTS,
        grpc.StatusCode.OUT_OF_RANGE,
        grpc.StatusCode.ABORTED,
    }
)
# How work ends because of who began it, not because of what was asked.
_CALLERS_OWN = frozenset({grpc.StatusCode.CANCELLED, grpc.StatusCode.DEADLINE_EXCEEDED})


class Repeatable(Protocol):
    """A request that carries its own id."""

    request_id: str

    def SerializeToString(self, *, deterministic: bool = False) -> bytes:  # noqa: N802  # protobuf's name
        """Returns its bytes."""


A = TypeVar("A", bound=Message)


@dataclass(eq=False, slots=True)
class _Entry:
    fingerprint: bytes
    task: asyncio.Task[Message]
    detached: bool
    waiting: int = 0
    expires_s: float | None = None
    size: int = 0


class Idempotency:
    """Remembers answers by tenant, RPC and request_id; belongs to one event loop.

    A repeat gets the first answer, or joins the work that is still under way. A failure is remembered only if it is
    final; after any other the repeat tries again.
    """

    def __init__(
        self,
        *,
        errors: ErrorMap = lambda error: None,
        clock: Callable[[], float] = time.monotonic,
        ttl_s: float = _TTL_S,
        capacity: int = _CAPACITY,
        capacity_bytes: int = _CAPACITY_BYTES,
    ) -> None:
        """Makes it empty.

        Args:
            errors: The service's map of errors; it tells which failures are final.
            clock: Seconds since some moment.
            ttl_s: How long an answer is remembered.
            capacity: Most remembered answers; the oldest go first.
            capacity_bytes: Most bytes of remembered answers; a larger answer is not remembered.
        """
        self._errors = errors
        self._clock = clock
        self._ttl_s = ttl_s
        self._capacity = capacity
        self._capacity_bytes = capacity_bytes
        self._under_way: dict[tuple[str, str, str], _Entry] = {}
        self._remembered: OrderedDict[tuple[str, str, str], _Entry] = OrderedDict()
        self._bytes = 0

    async def run(
        self, rpc: str, request: Repeatable, work: Callable[[], Awaitable[A]], *, detached: bool = False
    ) -> A:
        """Does the work of a request, unless it has been done or is being done.

        The work is cancelled when every caller that waits for it has gone, and has the deadline of the first of them.

        Args:
            rpc: Name of the RPC.
            request: The request, with its `request_id`.
            work: Does it; runs at most once at a time.
            detached: The work goes on, without a deadline, when every caller has gone.

        Raises:
            StatusError: The id was used with another request (REQUEST_ID_REUSED).
        """
        self._expire()
        key = (current_call().identity.tenant, rpc, request.request_id)
        fingerprint = hashlib.sha256(request.SerializeToString(deterministic=True)).digest()
        while True:
            entry = self._under_way.get(key) or self._remembered.get(key)
            began = entry is None
            if entry is None:
                entry = self._begin(key, fingerprint, work, detached=detached)
            elif entry.fingerprint != fingerprint:
                raise StatusError(
                    error_pb2.REASON_REQUEST_ID_REUSED,
                    f"request_id {request.request_id} was used with another request",
                    metadata={"request_id": request.request_id},
                )
            try:
                return cast(A, await self._wait(entry))
            except asyncio.CancelledError:
                # The work itself was cancelled; this caller was not, and takes its place.
                task = asyncio.current_task()
                if began or not entry.task.cancelled() or (task is not None and task.cancelling()):
                    raise
            except Exception as error:
                if began or status_of(error, self._errors).code not in _CALLERS_OWN:
                    raise

    def _begin(
        self, key: tuple[str, str, str], fingerprint: bytes, work: Callable[[], Awaitable[A]], *, detached: bool
    ) -> _Entry:
        call = current_call()

        async def do() -> Message:
            if detached:
                Call(call.identity, call.span).enter()
            return await work()

        entry = _Entry(fingerprint, asyncio.get_running_loop().create_task(do()), detached)
        self._under_way[key] = entry
        entry.task.add_done_callback(lambda _: self._end(key, entry))
        return entry

    async def _wait(self, entry: _Entry) -> Message:
        entry.waiting += 1
        try:
            return await asyncio.shield(entry.task)
        finally:
            entry.waiting -= 1
            if entry.waiting == 0 and not entry.detached:
                entry.task.cancel()

    def _end(self, key: tuple[str, str, str], entry: _Entry) -> None:
        del self._under_way[key]
        if entry.task.cancelled():
            return
        error = entry.task.exception()
        if error is None:
            entry.size = entry.task.result().ByteSize()
        elif not isinstance(error, Exception) or status_of(error, self._errors).code not in _FINAL:
            return
        if entry.size > self._capacity_bytes:
            return
        entry.expires_s = self._clock() + self._ttl_s
        self._remembered[key] = entry
        self._bytes += entry.size
        while len(self._remembered) > self._capacity or self._bytes > self._capacity_bytes:
            self._forget()

    def _expire(self) -> None:
        now_s = self._clock()
        while self._remembered:
            oldest = next(iter(self._remembered.values()))
            if oldest.expires_s is None or oldest.expires_s > now_s:
                return
            self._forget()

    def _forget(self) -> None:
        _, entry = self._remembered.popitem(last=False)
        self._bytes -= entry.size
