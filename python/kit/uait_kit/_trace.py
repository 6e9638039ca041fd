"""Spans and W3C Trace Context, made lean: a call has one span at least, and must stay cheap.

Ids are kept as the hex digits in which headers, logs and answers need them. Sources: W3C Trace Context level 1, and the
OpenTelemetry specification of the samplers ParentBased and TraceIdRatioBased.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from opentelemetry.proto.trace.v1 import trace_pb2

from uait_kit._otlp import Attribute, attribute

__all__ = ["Parent", "Span", "SpanKind", "TraceContext", "Tracer", "read_context"]

_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_NO_TRACE = "0" * 32
_NO_SPAN = "0" * 16
_MAX_STATE = 512
_RATIO_BITS = 64

SpanKind = trace_pb2.Span.SpanKind


class Parent(Protocol):
    """What a span may be the child of."""

    @property
    def trace_id(self) -> str:
        """32 lower-case hex digits."""

    @property
    def span_id(self) -> str:
        """16 lower-case hex digits."""

    @property
    def sampled(self) -> bool:
        """Whether the trace is recorded."""

    @property
    def state(self) -> str:
        """The header `tracestate`, handed on as it came."""

    @property
    def remote(self) -> bool:
        """Whether it came from another process."""


@dataclass(frozen=True, slots=True)
class TraceContext:
    """A parent that came in headers."""

    trace_id: str
    span_id: str
    sampled: bool
    state: str = ""
    remote: bool = True


class Span:
    """One piece of work within a trace.

    It belongs to one task. What is set after `end` is lost.

    Attributes:
        trace_id: 32 lower-case hex digits; empty when the work is not part of a trace.
        span_id: 16 lower-case hex digits; empty when the work is not part of a trace.
        sampled: Whether it is recorded; attributes of one that is not are dropped.
    """

    __slots__ = (
        "_ended",
        "attributes",
        "end_ns",
        "failed",
        "kind",
        "name",
        "parent",
        "sampled",
        "span_id",
        "start_ns",
        "state",
        "trace_id",
    )

    remote = False

    def __init__(
        self,
        name: str,
        kind: SpanKind.ValueType,
        *,
        trace_id: str,
        span_id: str,
        parent: Parent | None,
        sampled: bool,
        attributes: list[Attribute],
        ended: Callable[[Span], None] | None,
    ) -> None:
        """Starts the span; for Tracer."""
        self.name = name
        self.kind = kind
        self.trace_id = trace_id
        self.span_id = span_id
        self.parent = parent
        self.state = "" if parent is None else parent.state
        self.sampled = sampled
        self.attributes = attributes
        self.failed = False
        self.start_ns = time.time_ns()
        self.end_ns = 0
        self._ended = ended

    def set(self, key: str, value: str | bool | int | float) -> None:
        """Sets an attribute."""
        if self.sampled:
            self.attributes.append(attribute(key, value))

    def end(self, *, failed: bool = False) -> None:
        """Ends the span; once more does nothing.

        Args:
            failed: Whether the work failed, by the conventions of its kind.
        """
        ended, self._ended = self._ended, None
        if ended is not None:
            self.failed = failed
            self.end_ns = time.time_ns()
            ended(self)

    def headers(self) -> dict[str, str]:
        """Returns the W3C headers that make the next hop a child of this span; none outside a trace."""
        if not self.trace_id:
            return {}
        headers = {"traceparent": f"00-{self.trace_id}-{self.span_id}-{'01' if self.sampled else '00'}"}
        if self.state:
            headers["tracestate"] = self.state
        return headers


class Tracer:
    """Starts spans and decides which traces are recorded: as the parent was, a share of those that begin here."""

    def __init__(self, *, ratio: float, ended: Callable[[Span], None] | None) -> None:
        """Makes the tracer.

        Args:
            ratio: Share of root traces sampled, 0 to 1.
            ended: Takes each sampled span at its end; None disables tracing: contexts are handed on, nothing is made.
        """
        self._bound = round(ratio * (1 << _RATIO_BITS))
        self._ended = ended
        # Ids must be unique, not secret; each process seeds its own generator.
        self._bits = random.Random().getrandbits

    def start(self, name: str, kind: SpanKind.ValueType, *, parent: Parent | None, attributes: list[Attribute]) -> Span:
        """Starts a span.

        Args:
            name: Of low cardinality.
            kind: Its role.
            parent: None, or one outside any trace, for the root of a new trace.
            attributes: Taken over: the list becomes the span's.
        """
        known = parent is not None and parent.trace_id != ""
        if self._ended is None:
            # It stands in for its parent, so that what comes after is the parent's child.
            return Span(
                name,
                kind,
                trace_id="" if parent is None else parent.trace_id,
                span_id="" if parent is None else parent.span_id,
                parent=parent,
                sampled=parent is not None and parent.sampled,
                attributes=attributes,
                ended=None,
            )
        if parent is not None and known:
            trace_id, sampled = parent.trace_id, parent.sampled
        else:
            bits = self._bits(128) or 1
            trace_id, sampled = f"{bits:032x}", (bits & ((1 << _RATIO_BITS) - 1)) < self._bound
        return Span(
            name,
            kind,
            trace_id=trace_id,
            span_id=f"{self._bits(64) or 1:016x}",
            parent=parent if known else None,
            sampled=sampled,
            attributes=attributes,
            ended=self._ended if sampled else None,
        )


def read_context(headers: Mapping[str, str]) -> TraceContext | None:
    """Returns the context of `traceparent` and `tracestate`, None without a valid one."""
    value = headers.get("traceparent")
    match = value and _TRACEPARENT.fullmatch(value)
    if not match:
        return None
    version, trace_id, span_id, flags, more = match.groups()
    # Later versions may append fields; version ff and ids of zeros are forbidden.
    if version == "ff" or (version == "00" and more) or trace_id == _NO_TRACE or span_id == _NO_SPAN:
        return None
    state = headers.get("tracestate", "")
    return TraceContext(trace_id, span_id, int(flags, 16) & 1 == 1, state if len(state) <= _MAX_STATE else "")
